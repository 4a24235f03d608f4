"""Mail into a machine and out of it: LMTP and IMAPS as others speak them, with Python's own libraries."""
import imaplib
import smtplib
import ssl

# One user may not have all the connections of a small machine.
USER, OTHER_USER, PASSWORD = "ann", "ben", "correct horse"


def lmtp(port, within=60):
    session = smtplib.LMTP("127.0.0.1", port, timeout=within)
    session.ehlo_or_helo_if_needed()
    return session


def message(number, octets=2000):
    body = (f"{number:06d} " * (octets // 7 // 10) + "\r\n") * 10
    return (
        f"From: <tests@example.org>\r\nTo: <{USER}@example.org>\r\nSubject: number {number}\r\n"
        f"Message-ID: <{number}@boot.example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{body}"
    ).encode()


def deliver(session, number, octets=2000):
    """Returns once the server has answered 250; raises if it did not."""
    refused = session.sendmail("tests@example.org", [USER], message(number, octets))
    if refused:
        raise OSError(f"refused: {refused}")


def context():
    # The certificate is one that the machine made itself.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return trusting


def imaps(port, within=60):
    session = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=context(), timeout=within)
    session.login(USER, PASSWORD)
    return session


def subjects(session, mailbox="INBOX"):
    """The numbers of all messages of a mailbox, as their subjects say, in their order; each whole and readable."""
    state, count = session.select(mailbox, readonly=True)
    assert state == "OK", (state, count)
    if int(count[0]) == 0:
        return []
    state, rows = session.fetch("1:*", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert state == "OK", (state, rows)
    return [int(row[1].split(b"number ")[1]) for row in rows if isinstance(row, tuple)]
