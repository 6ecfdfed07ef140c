//! The frame of every page: head, style, and the kind of viewer that it is made for.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::gate::Visitor;

/// The style, inside the page. Its digest stands in the content security policy.
pub(super) const STYLE: &str = include_str!("style.css");
/// A dot as the page's icon: without one browsers ask for `/favicon.ico`.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
     viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%232f6fde'/%3E%3C/svg%3E";

/// The behaviour of a page once it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    /// It is loaded again every minute.
    EveryMinute,
    /// It stays.
    Never,
}

/// The viewer, and the actions that are open to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Viewer {
    pub(super) visitor: Visitor,
    pub(super) actions: Actions,
}

/// The means by which things can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actions {
    /// With the token.
    WithToken,
    /// No token is configured.
    Never,
}

/// A whole page.
pub(super) fn document(title: &str, refresh: Refresh, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if refresh == Refresh::EveryMinute {
                    // To the bare address: what was just done is told once.
                    meta http-equiv="refresh" content="60;url=/";
                }
                title { (title) " · HarfangLab incidents" }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}
