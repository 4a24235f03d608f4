[dovelet_imap]
title="dovelet (IMAP)"
desc="Mail programs, STARTTLS"
port_forward="yes"
dst.ports="1143/tcp"

[dovelet_imaps]
title="dovelet (IMAP over TLS)"
desc="Mail programs, TLS"
port_forward="yes"
dst.ports="1993/tcp"

[dovelet_pop3s]
title="dovelet (POP3 over TLS)"
desc="Mail programs, TLS"
port_forward="yes"
dst.ports="1995/tcp"
