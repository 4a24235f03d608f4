//! What is known about messages, in redb; can be rebuilt from the store.
