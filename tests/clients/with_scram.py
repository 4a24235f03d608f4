"""SCRAM (RFC 5802, RFC 7677) with Python's imaplib and poplib. Arguments: ports of IMAP, IMAPS and POP3S,
certificate, user, password."""
import base64
import hashlib
import hmac
import imaplib
import os
import poplib
import ssl
import sys

port, tls_port, pop_port, certificate, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)


class Scram:
    """The client's side of one exchange."""

    def __init__(self, name, user, password, header='n,,', binding=b''):
        self.hash = 'sha256' if '256' in name else 'sha1'
        self.password, self.header, self.binding = password.encode(), header, binding
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = f'n={user},r={self.nonce}'
        self.turn = 0

    def mac(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def __call__(self, challenge):
        self.turn += 1
        if self.turn == 1:
            assert challenge == b'', challenge
            return (self.header + self.bare).encode()
        if self.turn == 2:
            fields = dict(field.split('=', 1) for field in challenge.decode().split(','))
            assert fields['r'].startswith(self.nonce) and fields['r'] != self.nonce, challenge
            salted = hashlib.pbkdf2_hmac(
                self.hash, self.password, base64.b64decode(fields['s']), int(fields['i']))
            bound = base64.b64encode(self.header.encode() + self.binding).decode()
            last = f'c={bound},r={fields["r"]}'
            said = f'{self.bare},{challenge.decode()},{last}'.encode()
            key = self.mac(salted, b'Client Key')
            signature = self.mac(hashlib.new(self.hash, key).digest(), said)
            proof = bytes(a ^ b for a, b in zip(key, signature))
            self.expected = b'v=' + base64.b64encode(self.mac(self.mac(salted, b'Server Key'), said))
            return f'{last},p={base64.b64encode(proof).decode()}'.encode()
        assert challenge == self.expected, challenge
        return b''


def connect():
    return imaplib.IMAP4_SSL('localhost', int(tls_port), ssl_context=context)


def refused(name, *more):
    with connect() as client:
        exchange = Scram(name, *more)
        try:
            client.authenticate(name, exchange)
        except imaplib.IMAP4.error as error:
            assert 'AUTHENTICATIONFAILED' in str(error), error
            return exchange
        raise AssertionError(f'accepted: {name} {more}')


with open(certificate) as file:
    end_point = hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).digest()

for name in ('SCRAM-SHA-1', 'SCRAM-SHA-256'):
    exchange = Scram(name, user, password)
    with imaplib.IMAP4('127.0.0.1', int(port)) as client:
        # Without TLS there is nothing to bind to, so a client that could may say so.
        assert f'AUTH={name}' in client.capabilities and f'AUTH={name}-PLUS' not in client.capabilities
        client.authenticate(name, Scram(name, user.upper(), password, 'y,,'))
    with connect() as client:
        client.authenticate(name, exchange)
        assert exchange.turn == 3
        assert client.select()[0] == 'OK'
    with connect() as client:
        assert f'AUTH={name}-PLUS' in client.capabilities
        client.authenticate(f'{name}-PLUS', Scram(name, user, password, 'p=tls-server-end-point,,', end_point))
    refused(f'{name}-PLUS', user, password, 'p=tls-server-end-point,,', end_point[::-1])
    refused(f'{name}-PLUS', user, password, 'p=tls-exporter,,', end_point)
    assert refused(name, user, password + 'x').turn == 2
    assert refused(name, 'nobody', password).turn == 2
    # Somebody between has taken the -PLUS out of what the server said.
    assert refused(name, user, password, 'y,,').turn == 1

client = poplib.POP3_SSL('localhost', int(pop_port), context=context)
assert 'SCRAM-SHA-256' in client.capa()['SASL']
exchange = Scram('SCRAM-SHA-256', user, password)
answer = client._shortcmd('AUTH SCRAM-SHA-256 ' + base64.b64encode(exchange(b'')).decode())
for _ in range(2):
    challenge = base64.b64decode(answer.removeprefix(b'+ '))
    answer = client._shortcmd(base64.b64encode(exchange(challenge)).decode())
assert answer.startswith(b'+OK'), answer
client.quit()
print('all is well')
