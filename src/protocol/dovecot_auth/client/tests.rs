use super::*;
use crate::auth::{Credentials, Witness};
use crate::transcript::Pieces;

struct Connection {
    client: Client,
    said: Vec<u8>,
    /// Questions whose answers are held back.
    held: Vec<Asked>,
    hold: bool,
    number: u64,
    witnesses: BTreeMap<u64, Witness>,
}

fn verdict(credentials: &Credentials) -> Verdict {
    match (credentials.authcid.as_str(), credentials.password()) {
        ("ann", b"secret") if credentials.is_own() => Verdict::Accepted,
        ("busy", _) => Verdict::Unavailable,
        ("gone", _) => Verdict::Closed(Box::default()),
        _ => Verdict::Rejected,
    }
}

impl Connection {
    fn new(requests: usize) -> Connection {
        let mut said = Vec::new();
        let settings = ClientSettings {
            mechanisms: Mechanisms::of_bits(u16::MAX),
            number: 5,
            cookie: "c".repeat(32),
            requests,
        };
        Connection {
            client: Client::new(settings, &mut said),
            said,
            held: Vec::new(),
            hold: false,
            number: 100,
            witnesses: BTreeMap::new(),
        }
    }

    fn send(&mut self, text: &str, pieces: Pieces) {
        for piece in pieces.of(text.as_bytes()) {
            assert_eq!(self.client.input(piece), piece.len());
            loop {
                let mut number = || {
                    self.number += 1;
                    self.number
                };
                let Some(asked) = self.client.advance(&mut number, &mut self.said) else {
                    break;
                };
                match self.hold {
                    true => self.held.push(asked),
                    false => self.settle(asked),
                }
            }
        }
    }

    fn settle(&mut self, asked: Asked) {
        let witness = self.witnesses.entry(asked.connection).or_default();
        let answer = witness.answer(asked.question, verdict);
        let (id, connection) = (asked.id, asked.connection);
        if let Some(more) = self.client.answer(id, connection, answer, &mut self.said) {
            self.settle(more);
        }
    }

    fn said(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.said)).unwrap()
    }
}

#[test]
fn it_says_first_what_it_can() {
    let mut connection = Connection::new(10);
    let pid = std::process::id();
    let expected = format!(
        "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tSCRAM-SHA-256\tmutual-auth\n\
         MECH\tSCRAM-SHA-1\tmutual-auth\nMECH\tCRAM-MD5\tdictionary\tactive\nSPID\t{pid}\nCUID\t5\nCOOKIE\t{}\nDONE\n",
        "c".repeat(32)
    );
    assert_eq!(connection.said(), expected);
}

/// The exchange of RFC 7677 section 3, in base64.
const SCRAM: [&str; 4] = [
    "biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=",
    "cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY=",
    "Yz1iaXdzLHI9ck9wck5HZndFYmVSV2diTkVrcU8laHZZRHBXVWEyUmFUQ0FmdXhGSWxqKWhObEYkazAscD1kSHpiWmFwV0lrNGpVaE4rVXRlOXl0YWc5empmTUhnc3FtbWl6N0FuZFZRPQ==",
    "dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==",
];

#[test]
fn exchanges() {
    let [first, challenge, last, told] = SCRAM;
    let scram = format!("CONT\t8\t{challenge}\n");
    let cases = [
        (
            "AUTH\t1\tPLAIN\tservice=smtp\tresp=AGFubgBzZWNyZXQ=",
            "OK\t1\tuser=ann\n".to_owned(),
        ),
        (
            "AUTH\t1\tplain\tservice=smtp\tresp=AGFubgB3cm9uZw==",
            "FAIL\t1\n".to_owned(),
        ),
        (
            "AUTH\t2\tPLAIN\tresp=AGJ1c3kAeA==",
            "FAIL\t2\ttemp\tcode=temp_fail\n".to_owned(),
        ),
        (
            "AUTH\t2\tPLAIN\tresp=AGdvbmUAeA==",
            "FAIL\t2\treason=Not allowed here\tcode=user_disabled\n".to_owned(),
        ),
        (
            "AUTH\t3\tPLAIN\tresp=!",
            "FAIL\t3\treason=Malformed response\n".to_owned(),
        ),
        (
            "AUTH\t3\tPLAIN\tresp=\nCONT\t3\tAGFubgBzZWNyZXQ=",
            "CONT\t3\t\nOK\t3\tuser=ann\n".to_owned(),
        ),
        (
            "AUTH\t4\tGSSAPI\tresp=",
            "FAIL\t4\treason=Unsupported authentication mechanism\n".to_owned(),
        ),
        (
            "AUTH\t4\tSCRAM-SHA-256-PLUS\tresp=",
            "FAIL\t4\treason=Unsupported authentication mechanism\n".to_owned(),
        ),
        (
            "AUTH\t5\tPLAIN\nCONT\t5\tAGFubgBzZWNyZXQ=",
            "CONT\t5\t\nOK\t5\tuser=ann\n".to_owned(),
        ),
        (
            "AUTH\t6\tLOGIN\nCONT\t6\tYW5u\nCONT\t6\tc2VjcmV0",
            "CONT\t6\tVXNlcm5hbWU6\nCONT\t6\tUGFzc3dvcmQ6\nOK\t6\tuser=ann\n".to_owned(),
        ),
        (
            "AUTH\t7\tLOGIN\nCANCEL\t7\nCONT\t7\tYW5u",
            "CONT\t7\tVXNlcm5hbWU6\n".to_owned(),
        ),
        ("CONT\t9\tYW5u\nCANCEL\t9", String::new()),
    ];
    for pieces in [Pieces::Whole, Pieces::Bytes] {
        let mut connection = Connection::new(10);
        connection.said();
        connection.send("VERSION\t1\t1\nCPID\t77\nFUTURE\tx\n", pieces);
        for (sent, expected) in &cases {
            connection.send(&format!("{sent}\n"), pieces);
            assert_eq!(&connection.said(), expected, "{sent}");
        }
        connection.send(&format!("AUTH\t8\tSCRAM-SHA-256\tresp={first}\n"), pieces);
        assert_eq!(connection.said(), scram);
        connection.send(&format!("CONT\t8\t{last}\n"), pieces);
        assert_eq!(connection.said(), format!("CONT\t8\t{told}\n"));
        connection.send("CONT\t8\t\n", pieces);
        assert_eq!(connection.said(), "OK\t8\tuser=user\n");
        connection.send(
            &format!("AUTH\t8\tSCRAM-SHA-256\tfinal-resp-ok\tresp={first}\nCONT\t8\t{last}\n"),
            pieces,
        );
        assert_eq!(
            connection.said(),
            format!("{scram}OK\t8\tuser=user\tresp={told}\n")
        );
        assert!(!connection.client.is_closed() && connection.client.running.is_empty());
    }
}

#[test]
fn who_does_not_keep_to_the_protocol_is_left() {
    let long = "x".repeat(MAX_LINE + 1);
    for sent in [
        "AUTH\t1\tPLAIN",
        "VERSION\t2\t0",
        "VERSION",
        "VERSION\t1\t1\nAUTH\tx\tPLAIN",
        "VERSION\t1\t1\nAUTH\t1\tLOGIN\nAUTH\t1\tLOGIN",
        "VERSION\t1\t1\nUSER\t1\tann",
        "VERSION\t1\t1\nLIST\t1",
        &long,
    ] {
        let mut connection = Connection::new(10);
        connection.send(&format!("{sent}\n"), Pieces::Whole);
        assert!(connection.client.is_closed(), "{sent:.40}");
    }
    let mut connection = Connection::new(10);
    let long = format!("VERSION\t1\t1\t{}\n", "x".repeat(MAX_LINE - 12));
    connection.send(&long, Pieces::Whole);
    assert!(!connection.client.is_closed());
}

#[test]
fn who_left_in_the_middle_keeps_nobody_out() {
    // Postfix tells nobody that its client gave up: after so many nobody could log in by that connection.
    let mut connection = Connection::new(3);
    connection.said();
    connection.send("VERSION\t1\t1\n", Pieces::Whole);
    for id in 1..=3 {
        connection.send(&format!("AUTH\t{id}\tLOGIN\n"), Pieces::Whole);
    }
    connection.said();
    connection.send("AUTH\t4\tPLAIN\tresp=AGFubgBzZWNyZXQ=\n", Pieces::Whole);
    assert_eq!(
        connection.said(),
        "FAIL\t1\ttemp\tcode=temp_fail\nOK\t4\tuser=ann\n"
    );
    // The others can still be gone on with, and an answer to what was given up is none.
    connection.send("CONT\t1\tYW5u\nCONT\t2\tYW5u\n", Pieces::Whole);
    assert_eq!(connection.said(), "CONT\t2\tUGFzc3dvcmQ6\n");
}

#[test]
fn many_at_a_time_and_no_more() {
    let mut connection = Connection::new(3);
    connection.said();
    connection.hold = true;
    connection.send("VERSION\t1\t1\n", Pieces::Whole);
    for id in 1..=4 {
        let auth = format!("AUTH\t{id}\tPLAIN\tresp=AGFubgBzZWNyZXQ=\n");
        connection.send(&auth, Pieces::Whole);
    }
    assert_eq!(connection.said(), "FAIL\t4\ttemp\tcode=temp_fail\n");
    // The client speaks out of turn, gives up, and begins anew with the same number.
    connection.send("CONT\t1\tYW5u\nCANCEL\t2\n", Pieces::Whole);
    assert_eq!(connection.said(), "FAIL\t1\treason=Malformed response\n");
    connection.send("AUTH\t2\tPLAIN\tresp=AGFubgB3cm9uZw==\n", Pieces::Whole);
    let mut held = std::mem::take(&mut connection.held);
    held.reverse();
    let ids: Vec<u32> = held.iter().map(|asked| asked.id).collect();
    assert_eq!(ids, [2, 3, 2, 1]);
    held.into_iter().for_each(|asked| connection.settle(asked));
    // What was given up has no answer.
    assert_eq!(connection.said(), "FAIL\t2\nOK\t3\tuser=ann\n");
    assert!(connection.client.running.is_empty());
}

#[test]
fn who_fails_is_who_connects_to_the_other_server() {
    let mut connection = Connection::new(3);
    connection.hold = true;
    let sent = "VERSION\t1\t1\nAUTH\t1\tPLAIN\trip=192.0.2.7\tresp=AGFubgB4\n";
    connection.send(sent, Pieces::Whole);
    let asked = connection.held.pop().unwrap();
    assert!(matches!(asked.question, Question::Verify(c) if c.client == "192.0.2.7".parse().ok()));
}
