//! User accounts: of the process, and of sessions and event logs.

use super::draft::Draft;
use crate::{
    alert::User,
    stix::{clean, object::UserAccount},
};

/// Adds a user account and answers its id; `None` when the user has no name. `-` is how Windows
/// event logs write that there is none.
pub(super) fn add_account(user: &User, draft: &mut Draft) -> Option<String> {
    let login = user.name.as_deref().map(clean::line).unwrap_or_default();
    if login.is_empty() || login == "-" {
        return None;
    }
    let (login_domain, name) = login.rsplit_once('\\').unwrap_or(("", &login));
    let cleaned = |text: &Option<String>| text.as_deref().map(clean::line).unwrap_or_default();
    let sid = cleaned(&user.sid);
    let domain = match cleaned(&user.domain) {
        domain if domain.is_empty() => login_domain.to_owned(),
        domain => domain,
    };
    let lines: Vec<String> =
        [("Domain", domain.as_str()), ("SID", &sid), ("Kind", kind(&domain, &sid))]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
    draft.observable(&UserAccount {
        display_name: (!name.is_empty()).then(|| name.to_owned()),
        x_opencti_description: (!lines.is_empty()).then(|| lines.join("\n\n")),
        account_login: login.clone(),
    })
}

fn kind(domain: &str, sid: &str) -> &'static str {
    match sid {
        "" => "",
        _ if sid.bytes().all(|byte| byte.is_ascii_digit()) => "Unix account",
        "S-1-5-18" | "S-1-5-19" | "S-1-5-20" => "Windows service account",
        _ if !sid.starts_with("S-1-") => "",
        _ if domain.is_empty() => "Windows account",
        _ => "Windows domain or local account",
    }
}
