//! Messages for both servers: what Dovecot and the RFCs agree about.

use crate::support::Random;

/// Words of subjects, names and texts.
const WORDS: [&str; 8] = [
    "apple",
    "Banana",
    "cherry pie",
    "=?utf-8?q?gr=C3=BCn?=",
    "Date",
    "elder",
    "=?iso-8859-1?b?Zvxy?=",
    "fig",
];

fn word(random: &mut Random) -> &'static str {
    WORDS[random.below(WORDS.len() as u64) as usize]
}

/// Message `number`, which may answer an earlier one, with CRLF line ends.
pub(crate) fn mail(random: &mut Random, number: u64) -> String {
    let day = 1 + random.below(28);
    let mut head = format!(
        "From: {} <{}@example.org>\r\nTo: Ann <ann@example.org>, bob@example.net\r\n\
         Date: {day:02} Feb 2026 {:02}:00:00 +0100\r\nMessage-ID: <{number}@differential>\r\n",
        word(random),
        ["amy", "bob", "zoe"][random.below(3) as usize],
        random.below(24),
    );
    let subject = format!("{} {}", word(random), word(random));
    let earlier = number.checked_sub(1 + random.below(6)).filter(|n| *n > 0);
    match earlier.filter(|_| random.below(2) == 0) {
        Some(earlier) => head.push_str(&format!(
            "Subject: Re: {subject}\r\nIn-Reply-To: <{earlier}@differential>\r\n\
             References: <{earlier}@differential>\r\n"
        )),
        None => head.push_str(&format!("Subject: {subject}\r\n")),
    }
    if random.below(3) == 0 {
        head.push_str("Cc: Carl <carl@example.com>\r\nX-Colour: red\r\n");
    }
    head.push_str("MIME-Version: 1.0\r\n");
    head + &content(random, 2)
}

fn text(random: &mut Random) -> String {
    let lines = 1 + random.below(5);
    (0..lines)
        .map(|_| format!("some {} and {}\r\n", word(random), word(random)))
        .collect()
}

/// The Content- fields, the empty line and the body.
fn content(random: &mut Random, depth: u32) -> String {
    match random.below(if depth > 0 { 7 } else { 4 }) {
        0 => format!("Content-Type: text/plain; charset=us-ascii\r\n\r\n{}", text(random)),
        1 => "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
              gr=C3=BCn and a soft=\r\n end\r\n".to_owned(),
        2 => "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
              PHA+Z3LDvG48L3A+DQo=\r\n".to_owned(),
        3 => format!(
            "Content-Type: application/octet-stream; name=\"a b.bin\"\r\n\
             Content-Disposition: attachment; filename=\"a b.bin\"\r\n\
             Content-Transfer-Encoding: base64\r\nContent-ID: <{}@part>\r\n\r\nAAECAwQF\r\n",
            random.below(9)
        ),
        4 => format!(
            "Content-Type: message/rfc822\r\n\r\nFrom: inner@example.org\r\nSubject: inner {}\r\n\
             Message-ID: <inner@differential>\r\n{}",
            word(random),
            content(random, depth - 1)
        ),
        _ => multipart(random, depth - 1),
    }
}

fn multipart(random: &mut Random, depth: u32) -> String {
    let boundary = format!("b{depth}-{}", random.below(1000));
    let kind = ["mixed", "alternative", "related"][random.below(3) as usize];
    let parts: String = (0..1 + random.below(3))
        .map(|_| format!("--{boundary}\r\n{}", content(random, depth)))
        .collect();
    format!(
        "Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n{parts}--{boundary}--\r\n"
    )
}
