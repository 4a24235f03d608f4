//! Who is it: SASL exchanges, password schemes, sources of users.
