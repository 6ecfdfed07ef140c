//! Tests of certificates and authorities.

mod self_signed;
