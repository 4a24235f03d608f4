"""A session with Python's imaplib. Arguments: ports of IMAP and IMAPS, certificate, user, password."""
import imaplib
import ssl
import sys
import time

port, tls_port, certificate, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)


def ok(answer):
    kind, data = answer
    assert kind == 'OK', answer
    return data


def text(subject):
    return (f'From: a@example.org\r\nSubject: {subject}\r\nMessage-ID: <{subject}@test>\r\n\r\n'
            f'Body of {subject}.\r\n').encode()


# Wrong passwords are refused, and the connection goes on.
with imaplib.IMAP4_SSL('localhost', int(tls_port), ssl_context=context) as client:
    try:
        client.login(user, password + 'x')
        raise AssertionError('a wrong password was accepted')
    except imaplib.IMAP4.error as error:
        assert b'AUTHENTICATIONFAILED' in error.args[0], error
    ok(client.login(user, password))

client = imaplib.IMAP4('localhost', int(port))
assert 'STARTTLS' in client.capabilities
ok(client.starttls(context))
assert 'STARTTLS' not in client.capabilities
ok(client.authenticate('PLAIN', lambda _: f'\0{user}\0{password}'.encode()))

# Appending, selecting, searching.
date = imaplib.Time2Internaldate(time.time())
for subject, flags in ('alpha', ''), ('beta', '\\Seen'), ('gamma', '(\\Flagged $Label1)'):
    ok(client.append('INBOX', flags, date, text(subject)))
assert ok(client.select()) == [b'3']
assert ok(client.search(None, 'UNSEEN')) == [b'1 3']
assert ok(client.search('UTF-8', 'SUBJECT', 'beta')) == [b'2']
assert ok(client.search(None, 'KEYWORD', '$Label1')) == [b'3']
assert ok(client.uid('SEARCH', 'TEXT', '"Body of alpha"')) == [b'1']

# Fetching.
data = ok(client.fetch('1', '(BODY.PEEK[] RFC822.SIZE)'))
assert data[0][1] == text('alpha'), data
assert f'RFC822.SIZE {len(text("alpha"))}'.encode() in data[0][0] + data[1], data
data = ok(client.fetch('1:3', '(UID FLAGS ENVELOPE BODYSTRUCTURE)'))
assert len(data) == 3 and b'"beta"' in data[1] and b'"text" "plain"' in data[1].lower(), data

# Flags, and what another session sees of them.
other = imaplib.IMAP4('localhost', int(port))
ok(other.login(user, password))
ok(other.select())
data = ok(client.store('1', '+FLAGS', '\\Answered'))
assert b'\\Answered' in data[0], data
ok(other.noop())
assert b'\\Answered' in ok(other.fetch('1', 'FLAGS'))[0]

# Mailboxes.
ok(client.create('Projects/2026'))
ok(client.subscribe('Projects/2026'))
assert any(b'Projects/2026' in line for line in ok(client.lsub()))
ok(client.copy('1:2', 'Projects/2026'))
assert b'MESSAGES 2 ' in ok(client.status('Projects/2026', '(MESSAGES UIDNEXT UIDVALIDITY)'))[0]
ok(client.rename('Projects/2026', 'Projects/done'))
names = b' '.join(ok(client.list()))
assert b'Projects/done' in names and b'2026' not in names, names
kind, data = client.copy('1', 'Nowhere')
assert kind == 'NO' and b'TRYCREATE' in data[0], data

# Expunging, told to the other session.
ok(client.store('2', '+FLAGS.SILENT', '\\Deleted'))
assert ok(client.expunge()) == [b'2']
ok(other.noop())
assert other.response('EXPUNGE')[1] == [b'2']
assert ok(other.search(None, 'ALL')) == [b'1 2']
ok(client.delete('Projects/done'))
ok(client.close())
ok(other.unselect())
assert other.logout()[0] == 'BYE' and client.logout()[0] == 'BYE'
print('all is well')
