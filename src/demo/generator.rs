//! Makes alerts and telemetry from a seed: the same seed and dates give the same JSON.

use chrono::{DateTime, Utc};
use serde_json::Value;
use strum::VariantArray as _;

use super::{
    alerts::DemoAlert,
    hosts::{HOSTS, Host},
    kinds::Kind,
    random::Random,
    telemetry,
};

/// A source of alerts and telemetry.
#[derive(Debug, Clone)]
pub struct Generator {
    random: Random,
    turn: usize,
}

impl Generator {
    /// A generator that always makes the same.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), turn: 0 }
    }

    /// An alert raised at `now`; kinds take turns, so that one round of [`Kind::VARIANTS`] holds each.
    pub fn next_alert(&mut self, now: DateTime<Utc>) -> DemoAlert {
        let kind = Kind::VARIANTS[self.turn % Kind::VARIANTS.len()];
        self.turn += 1;
        self.alert(kind, now)
    }

    /// An alert of one kind, raised at `now` on one of the hosts where that can happen.
    pub fn alert(&mut self, kind: Kind, now: DateTime<Utc>) -> DemoAlert {
        let hosts: Vec<&'static Host> =
            HOSTS.iter().filter(|host| kind.happens_on(host.os_type)).collect();
        let host = hosts[self.random.below(hosts.len())];
        DemoAlert::new(kind, host, &mut self.random, now)
    }

    /// A telemetry event as a syslog forwarder posts it.
    pub fn native_telemetry(&mut self, now: DateTime<Utc>) -> Value {
        let host = self.any_host();
        telemetry::native(host, &mut self.random, now)
    }

    /// A telemetry event as the Elastic connector pushes it.
    pub fn ecs_telemetry(&mut self, now: DateTime<Utc>) -> Value {
        let host = self.any_host();
        telemetry::ecs(host, &mut self.random, now)
    }

    fn any_host(&mut self) -> &'static Host {
        &HOSTS[self.random.below(HOSTS.len())]
    }
}
