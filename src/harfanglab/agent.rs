//! Details of an agent, for alerts that name it without saying what it is. Cached as rules are.

use std::sync::Arc;

use super::{
    Console, ConsoleError,
    lookup::{found, object},
};
use crate::{alert::Agent, intake::dialect::read_agent};

impl Console {
    /// The agent with this id.
    pub async fn agent(&self, id: &str) -> Result<Option<Agent>, ConsoleError> {
        let look_up = async {
            let path = ["api", "data", "endpoint", "Agent", id, ""];
            Ok(found(self.get(&path, &[], object).await)?.map(|item| read_agent(&item)))
        };
        let agent = self.rules().agents.get_or(id.to_owned(), look_up).await?;
        Ok(agent.map(Arc::unwrap_or_clone))
    }
}
