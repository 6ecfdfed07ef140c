//! Three cheap questions for `check`: does the console answer, does it know the token, and may its
//! user read what is imported.

use serde_json::Value;

use super::{Console, ConsoleError, lookup::object, pages::read_page};

impl Console {
    /// The console's version, for example `5.7.29`.
    pub async fn version(&self) -> Result<String, ConsoleError> {
        self.get(&["api", "version"], &[], |request, answer| {
            let answer = object(request, answer)?;
            let version = answer.get("version").and_then(Value::as_str);
            version.map(str::to_owned).ok_or_else(|| request.unreadable("it has no `version`"))
        })
        .await
    }

    /// The user whose token this is, as the console names it; `None` when it does not say.
    pub async fn whoami(&self) -> Result<Option<String>, ConsoleError> {
        let user = self.get(&["api", "auth", "users", "me"], &[], object).await?;
        let name = ["username", "email"].iter().find_map(|field| user.get(*field)?.as_str());
        Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
    }

    /// Returns whether alerts and threats can be read: asks for one of each.
    pub async fn may_read(&self) -> Result<(), ConsoleError> {
        for path in READ {
            let query = [("limit", "1".to_owned())];
            self.get(&path, &query, |request, answer| read_page(request, answer, 0, 1)).await?;
        }
        Ok(())
    }
}

/// Lists that an import reads of every console.
const READ: [[&str; 6]; 2] = [
    ["api", "data", "alert", "alert", "Alert", ""],
    ["api", "data", "alert", "alert", "Threat", ""],
];
