//! Delivery of one message to one recipient.
