//! `dovelet capabilities`: what a mail program may be offered, and where that is defined.

use miniserde::{Serialize, json};

use super::console::Console;
use crate::protocol::{imap, pop3};

/// A line of the list.
#[derive(Serialize)]
struct Row {
    protocol: &'static str,
    name: &'static str,
    /// `None`: a draft, or what others had first.
    rfc: Option<u16>,
    offered: &'static str,
}

/// Prints the list, for people or as a JSON array.
pub(super) fn run(json: bool, console: &mut Console<'_>) {
    let imap = imap::CAPABILITIES.iter().map(|capability| Row {
        protocol: "imap",
        name: capability.name,
        rfc: Some(capability.rfc).filter(|rfc| *rfc > 0),
        offered: capability.offered(),
    });
    let pop3 = pop3::CAPABILITIES.iter().map(|capability| Row {
        protocol: "pop3",
        name: capability.name,
        rfc: Some(capability.rfc),
        offered: capability.offered(),
    });
    let rows: Vec<Row> = imap.chain(pop3).collect();
    if json {
        console.say(json::to_string(&rows));
        return;
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut last = "imap";
    for row in rows {
        if row.protocol != last {
            last = row.protocol;
            console.say(format_args!("\n{}:", last.to_ascii_uppercase()));
        }
        let Row {
            name, rfc, offered, ..
        } = row;
        let defined = rfc.map_or("no RFC".to_owned(), |rfc| format!("RFC {rfc}"));
        console.say(format_args!("{name:width$}  {defined:9}  {offered}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::admin::tests::Machine;

    #[test]
    fn every_capability_with_its_rfc() {
        let told = Machine::new().run("capabilities", "");
        let idle = told.out.lines().find(|line| line.starts_with("IDLE "));
        let words: Vec<&str> = idle.unwrap().split_whitespace().collect();
        assert_eq!(words, ["IDLE", "RFC", "2177", "always"]);
        let refs = told
            .out
            .lines()
            .find(|line| line.starts_with("THREAD=REFS "));
        let words: Vec<&str> = refs.unwrap().split_whitespace().collect();
        assert_eq!(words, ["THREAD=REFS", "no", "RFC", "after", "login"]);
        let (_, pop3) = told.out.split_once("\nPOP3:\n").unwrap();
        assert!(pop3.starts_with("TOP "), "{pop3}");
        let told = Machine::new().run("capabilities --json", "");
        let move_row =
            "{\"protocol\":\"imap\",\"name\":\"MOVE\",\"rfc\":6851,\"offered\":\"after login\"}";
        assert!(told.out.contains(move_row), "{}", told.out);
    }
}
