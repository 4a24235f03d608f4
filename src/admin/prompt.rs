//! Passwords from a terminal or from the standard input.

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::console::Failure;
use crate::auth::{MAX_PASSWORD, Secret};

/// The first line of `input` without its end.
pub(crate) fn first_line(input: &mut dyn Read) -> Result<Secret, Failure> {
    let mut line = Vec::with_capacity(MAX_PASSWORD + 2);
    let mut octet = [0];
    // Octet by octet: what follows the line belongs to whoever reads next.
    while line.len() <= MAX_PASSWORD {
        match input.read(&mut octet) {
            Ok(0) => break,
            Ok(_) if octet == *b"\n" => break,
            Ok(_) => line.extend_from_slice(&octet),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::because("standard input")(error)),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    checked(Secret::new(line))
}

/// Asks on the terminal that is the standard input, twice, without showing what is typed.
pub(crate) fn ask(name: &str) -> Result<Secret, Failure> {
    let terminal = io::stdin();
    let silence = Silence::begin(terminal.as_fd()).map_err(|error| {
        Failure(format!(
            "the standard input is no terminal ({error}); use --password-stdin"
        ))
    })?;
    let mut input = terminal.lock();
    let first = checked(line(
        &mut input,
        &format!("New password of {name} (not shown): "),
    )?)?;
    let second = line(&mut input, "Once more: ")?;
    drop(silence);
    if first.bytes() != second.bytes() {
        return Err(Failure("the two passwords differ".to_owned()));
    }
    Ok(first)
}

/// What no scheme or protocol could carry is refused before it locks its user out.
fn checked(password: Secret) -> Result<Secret, Failure> {
    let bytes = password.bytes();
    let fault = if bytes.is_empty() {
        "the password is empty"
    } else if bytes.len() > MAX_PASSWORD {
        "the password is longer than 1024 octets"
    } else if bytes.contains(&0) {
        "the password contains a NUL"
    } else {
        return Ok(password);
    };
    Err(Failure(fault.to_owned()))
}

/// A terminal that shows nothing, and leaves signals and corrections to us, until dropped.
struct Silence<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl Silence<'_> {
    fn begin(terminal: BorrowedFd<'_>) -> io::Result<Silence<'_>> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        // With signals left on, Ctrl-C would end the process and leave the terminal mute.
        silent.local_modes -= LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Drain, &silent)?;
        Ok(Silence { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// Shows `prompt` on the standard error and reads a line.
fn line(input: &mut impl Read, prompt: &str) -> Result<Secret, Failure> {
    let mut err = io::stderr();
    let _ = err.write_all(prompt.as_bytes()).and_then(|()| err.flush());
    let read = typed(input);
    let _ = err.write_all(b"\n");
    read
}

/// A line as it is typed on a terminal that does no editing.
fn typed(input: &mut impl Read) -> Result<Secret, Failure> {
    // One allocation, which the secret wipes: growing would leave copies behind.
    let mut line = Vec::with_capacity(MAX_PASSWORD + 1);
    let mut octet = [0];
    loop {
        match input.read(&mut octet) {
            Ok(0) => return Err(Failure("no password was entered".to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::because("terminal")(error)),
        }
        match octet {
            [b'\r' | b'\n'] => return Ok(Secret::new(line)),
            // Ctrl-C, Ctrl-D, Ctrl-\.
            [3 | 4 | 28] => return Err(Failure("cancelled".to_owned())),
            // Backspace, as either kind of terminal sends it.
            [8 | 127] => rub_out(&mut line),
            // Ctrl-U.
            [21] => line.clear(),
            [typed] if line.len() <= MAX_PASSWORD => line.push(typed),
            _ => {}
        }
    }
}

/// Takes the last character away, all octets of it in UTF-8.
fn rub_out(line: &mut Vec<u8>) {
    while let Some(octet) = line.pop() {
        if octet & 0xc0 != 0x80 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: Result<Secret, Failure>) -> Result<String, String> {
        let text = |secret: Secret| String::from_utf8(secret.bytes().to_vec()).unwrap();
        result.map(text).map_err(|failure| failure.0)
    }

    #[test]
    fn only_the_first_line_counts() {
        for (input, expected, rest) in [
            ("tiger\nlion\n", Ok("tiger"), "lion\n"),
            ("tiger\r\nx", Ok("tiger"), "x"),
            ("tiger", Ok("tiger"), ""),
            (" ti ger \n", Ok(" ti ger "), ""),
            ("a\rb\n", Ok("a\rb"), ""),
            ("", Err("the password is empty"), ""),
            ("\ntiger\n", Err("the password is empty"), "tiger\n"),
            ("ti\0ger\n", Err("the password contains a NUL"), ""),
        ] {
            let mut reader = input.as_bytes();
            let read = text(first_line(&mut reader));
            assert_eq!(
                read.as_deref().map_err(String::as_str),
                expected,
                "{input:?}"
            );
            assert_eq!(reader, rest.as_bytes(), "{input:?}");
        }
    }

    #[test]
    fn passwords_have_a_bound() {
        let most = "x".repeat(MAX_PASSWORD);
        assert_eq!(text(first_line(&mut most.as_bytes())), Ok(most.clone()));
        let more = format!("{most}y");
        let refused = text(first_line(&mut more.as_bytes()));
        assert_eq!(
            refused,
            Err("the password is longer than 1024 octets".to_owned())
        );
        let long = format!("{most}yyy\n");
        assert!(checked(typed(&mut long.as_bytes()).unwrap()).is_err());
    }

    #[test]
    fn typing() {
        for (input, expected) in [
            ("tiger\r", Ok("tiger")),
            ("tiger\nmore", Ok("tiger")),
            ("tigre\x7f\x7fer\n", Ok("tiger")),
            ("x\x08\x08\x7ftiger\n", Ok("tiger")),
            ("grün\x7f\x7fün\n", Ok("grün")),
            ("wrong\x15tiger\n", Ok("tiger")),
            ("\n", Ok("")),
            ("tig\x03er\n", Err("cancelled")),
            ("\x04", Err("cancelled")),
            ("tiger", Err("no password was entered")),
        ] {
            let read = text(typed(&mut input.as_bytes()));
            assert_eq!(
                read.as_deref().map_err(String::as_str),
                expected,
                "{input:?}"
            );
        }
    }
}
