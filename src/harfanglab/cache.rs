//! Caches of rules and agents, one a kind. Many alerts that wait for one rule cost one request; what is not
//! found is remembered too, for less long, since an analyst may be writing it; an error is not
//! remembered. Bounded by bytes, not entries: a YARA file can be as large as a thousand IOCs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};

use super::ConsoleError;
use crate::alert::{
    Agent,
    intelligence::{IocRule, SigmaRule, YaraFile},
};

/// Time for which a rule is taken as it was.
const FOUND_FOR: Duration = Duration::from_mins(10);
/// Time for which a rule counts as not there.
const MISSING_FOR: Duration = Duration::from_mins(2);
/// Bytes of rules kept at most, per kind.
const LIMIT_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of an entry beside its text, about.
const ENTRY_BYTES: usize = 256;

/// Something that takes room.
pub(super) trait Weighs {
    /// Bytes of its text.
    fn size_bytes(&self) -> usize;
}

/// A cache from a rule's id, name or value to the rule.
pub(super) struct RuleCache<T> {
    /// The kind of what is kept, as the label of a metric.
    kind: &'static str,
    rules: Cache<String, Option<Arc<T>>>,
}

impl<T: Weighs + Send + Sync + 'static> RuleCache<T> {
    /// An empty cache; `kind` is what the metrics call what it keeps.
    pub(super) fn new(kind: &'static str) -> Self {
        let rules = Cache::builder()
            .max_capacity(LIMIT_BYTES)
            .weigher(|key: &String, rule: &Option<Arc<T>>| {
                let text = rule.as_ref().map_or(0, |rule| rule.size_bytes());
                u32::try_from(ENTRY_BYTES + key.len() + text).unwrap_or(u32::MAX)
            })
            .expire_after(ByOutcome)
            .build();
        Self { kind, rules }
    }

    /// The rule remembered under `key`, else what `look_up` finds; one look-up at a time for a key.
    pub(super) async fn get_or(
        &self,
        key: String,
        look_up: impl Future<Output = Result<Option<T>, ConsoleError>>,
    ) -> Result<Option<Arc<T>>, ConsoleError> {
        let asked = AtomicBool::new(false);
        let look_up = async {
            asked.store(true, Ordering::Relaxed);
            Ok(look_up.await?.map(Arc::new))
        };
        let answer = self.rules.try_get_with(key, look_up).await;
        let result = match &answer {
            Err(_) => "failed",
            Ok(_) if !asked.load(Ordering::Relaxed) => "cached",
            Ok(Some(_)) => "found",
            Ok(None) => "missing",
        };
        metrics::counter!("rule_lookups_total", "kind" => self.kind, "result" => result)
            .increment(1);
        answer.map_err(|error: Arc<ConsoleError>| (*error).clone())
    }
}

/// One cache a kind of rule.
pub(super) struct RuleCaches {
    pub(super) ioc: RuleCache<IocRule>,
    pub(super) sigma: RuleCache<SigmaRule>,
    pub(super) correlation: RuleCache<SigmaRule>,
    pub(super) yara: RuleCache<YaraFile>,
    pub(super) agents: RuleCache<Agent>,
}

impl RuleCaches {
    /// Empty caches.
    pub(super) fn new() -> Self {
        Self {
            ioc: RuleCache::new("ioc"),
            sigma: RuleCache::new("sigma"),
            correlation: RuleCache::new("correlation"),
            yara: RuleCache::new("yara"),
            agents: RuleCache::new("agent"),
        }
    }
}

/// Found rules live longer than missing ones.
struct ByOutcome;

impl<T> Expiry<String, Option<Arc<T>>> for ByOutcome {
    fn expire_after_create(
        &self,
        _key: &String,
        rule: &Option<Arc<T>>,
        _created_at: Instant,
    ) -> Option<Duration> {
        Some(if rule.is_some() { FOUND_FOR } else { MISSING_FOR })
    }
}

impl Weighs for IocRule {
    fn size_bytes(&self) -> usize {
        self.value.len() + self.description.as_ref().map_or(0, String::len)
    }
}

impl Weighs for SigmaRule {
    fn size_bytes(&self) -> usize {
        self.content.len() + self.name.len()
    }
}

impl Weighs for YaraFile {
    fn size_bytes(&self) -> usize {
        self.content.len() + self.name.len()
    }
}

impl Weighs for Agent {
    fn size_bytes(&self) -> usize {
        let texts = [&self.id, &self.hostname, &self.domain, &self.os_product];
        let addresses = self.ip_addresses.iter().map(String::len).sum::<usize>();
        texts.into_iter().flatten().map(String::len).sum::<usize>() + addresses
    }
}
