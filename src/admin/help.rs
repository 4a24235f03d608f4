//! The pages of `dovelet help`.

/// One page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

/// What `dovelet help` shows without a topic.
pub(crate) const TOP: Topic = Topic {
    name: "",
    text: include_str!("help/top.txt"),
};

/// Pages about commands first, then those about things.
pub(crate) const TOPICS: [Topic; 26] = [
    Topic {
        name: "serve",
        text: include_str!("help/serve.txt"),
    },
    Topic {
        name: "user",
        text: include_str!("help/user.txt"),
    },
    Topic {
        name: "config",
        text: include_str!("help/config.txt"),
    },
    Topic {
        name: "doctor",
        text: include_str!("help/doctor.txt"),
    },
    Topic {
        name: "purge",
        text: include_str!("help/purge.txt"),
    },
    Topic {
        name: "altmove",
        text: include_str!("help/altmove.txt"),
    },
    Topic {
        name: "index",
        text: include_str!("help/index.txt"),
    },
    Topic {
        name: "deliver",
        text: include_str!("help/deliver.txt"),
    },
    Topic {
        name: "adopt",
        text: include_str!("help/adopt.txt"),
    },
    Topic {
        name: "export",
        text: include_str!("help/export.txt"),
    },
    Topic {
        name: "import",
        text: include_str!("help/import.txt"),
    },
    Topic {
        name: "backup",
        text: include_str!("help/backup.txt"),
    },
    Topic {
        name: "restore",
        text: include_str!("help/restore.txt"),
    },
    Topic {
        name: "convert",
        text: include_str!("help/convert.txt"),
    },
    Topic {
        name: "capabilities",
        text: include_str!("help/capabilities.txt"),
    },
    Topic {
        name: "healthcheck",
        text: include_str!("help/healthcheck.txt"),
    },
    Topic {
        name: "check-data",
        text: include_str!("help/check-data.txt"),
    },
    Topic {
        name: "help",
        text: TOP.text,
    },
    Topic {
        name: "commands",
        text: include_str!("help/commands.txt"),
    },
    Topic {
        name: "users",
        text: include_str!("help/users.txt"),
    },
    Topic {
        name: "postfix",
        text: include_str!("help/postfix.txt"),
    },
    Topic {
        name: "clients",
        text: include_str!("help/clients.txt"),
    },
    Topic {
        name: "systemd",
        text: include_str!("help/systemd.txt"),
    },
    Topic {
        name: "uci",
        text: include_str!("help/uci.txt"),
    },
    Topic {
        name: "files",
        text: include_str!("help/files.txt"),
    },
    Topic {
        name: "exit",
        text: include_str!("help/exit.txt"),
    },
];

/// The page of that name.
pub(crate) fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::arguments::{COMMANDS, FORMS};

    /// A form may go on in the next line.
    fn one_line(text: &str) -> String {
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_first_page_lists_every_command_and_topic() {
        let all = one_line(TOP.text);
        for form in FORMS {
            assert!(all.contains(&format!(" dovelet {form} ")), "{form}");
        }
        let (_, topics) = TOP.text.split_once("Topics").unwrap();
        for Topic { name, .. } in TOPICS.iter().filter(|t| t.name != "help") {
            assert!(topics.contains(&format!("\n  {name} ")), "{name}");
        }
        for command in COMMANDS {
            assert!(topic(command).is_some(), "{command}");
        }
        assert_eq!(topic("nonsense"), None);
    }

    #[test]
    fn all_commands_and_options_are_described() {
        let commands = one_line(topic("commands").unwrap().text);
        for form in FORMS {
            assert!(commands.contains(&format!(" dovelet {form} ")), "{form}");
            let first = form.split(' ').next().unwrap();
            let page = topic(first).unwrap().text;
            for option in form.split(['[', ']', ' ']).filter(|w| w.starts_with("--")) {
                assert!(page.contains(&format!("  {option}")), "{first} {option}");
            }
        }
    }

    #[test]
    fn pages_fit_a_terminal() {
        for Topic { name, text } in TOPICS.iter().chain([&TOP]) {
            assert!(text.ends_with('\n') && text.len() > 100, "{name}");
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
                assert!(
                    !line.contains('\t') && !line.ends_with(' '),
                    "{name}: {line}"
                );
            }
        }
    }
}
