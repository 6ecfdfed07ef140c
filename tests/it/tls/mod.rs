//! Tests of certificates and authorities.

mod renewed_authorities;
mod self_signed;
