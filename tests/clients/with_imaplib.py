"""A session with Python's imaplib. Arguments: ports of IMAP and IMAPS, certificate, user, password."""
import imaplib
import socket
import ssl
import sys
import time
import zlib

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


class Compressed:
    """A connection that speaks DEFLATE with zlib after COMPRESS (RFC 4978)."""

    def __init__(self):
        plain = socket.create_connection(('localhost', int(tls_port)), timeout=20)
        self.socket = context.wrap_socket(plain, server_hostname='localhost')
        self.deflate = self.inflate = None
        self.waiting = b''
        self.octets = 0
        self.until(b'\r\n')

    def until(self, end):
        while end not in self.waiting:
            data = self.socket.recv(65536)
            assert data, 'the server closed the connection'
            self.octets += len(data)
            self.waiting += self.inflate.decompress(data) if self.inflate else data
        at = self.waiting.index(end) + len(end)
        told, self.waiting = self.waiting[:at], self.waiting[at:]
        return told

    def ask(self, command):
        data = b'x ' + command + b'\r\n'
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.socket.sendall(data)
        told = self.until(b'x OK')
        self.until(b'\r\n')
        return told


# Compression, as zlib has it; a long answer and a long command.
squeezed = Compressed()
squeezed.ask(f'LOGIN {user} {password}'.encode())
squeezed.ask(b'COMPRESS DEFLATE')
squeezed.deflate, squeezed.inflate = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)
long = b'Subject: long\r\n\r\n' + b'A line of which there are many.\r\n' * 10000
squeezed.ask(b'APPEND INBOX {%d+}\r\n' % len(long) + long)
squeezed.ask(b'SELECT INBOX')
for _ in range(3):
    squeezed.octets = 0
    assert long in squeezed.ask(b'UID FETCH * BODY.PEEK[]')
    assert squeezed.octets * 20 < len(long), squeezed.octets
squeezed.ask(b'UID STORE * +FLAGS.SILENT (\\Deleted)')
squeezed.ask(b'EXPUNGE')
squeezed.ask(b'LOGOUT')
print('all is well')
