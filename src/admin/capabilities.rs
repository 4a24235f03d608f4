//! `dovelet capabilities`: what a mail program may be offered, and where that is defined.

use miniserde::{Serialize, json};

use super::console::Console;
use crate::protocol::imap::CAPABILITIES;

/// A line of the list.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    rfc: u16,
    offered: &'static str,
}

/// Prints the list, for people or as a JSON array.
pub(super) fn run(json: bool, console: &mut Console<'_>) {
    let rows: Vec<Row> = CAPABILITIES
        .iter()
        .map(|capability| Row {
            name: capability.name,
            rfc: capability.rfc,
            offered: capability.offered(),
        })
        .collect();
    if json {
        console.say(json::to_string(&rows));
        return;
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for Row { name, rfc, offered } in rows {
        console.say(format_args!("{name:width$}  RFC {rfc:<5}  {offered}"));
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
        let told = Machine::new().run("capabilities --json", "");
        let move_row = "{\"name\":\"MOVE\",\"rfc\":6851,\"offered\":\"after login\"}";
        assert!(told.out.contains(move_row), "{}", told.out);
    }
}
