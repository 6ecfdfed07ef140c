//! Tests of the HTTP server: slow senders, reverse proxies, requests in disguise.

mod request_smuggling;
mod reverse_proxy;
mod slow_senders;
