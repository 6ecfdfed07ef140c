//! Delivery to a folder (`connector:`).

use std::path::PathBuf;

use crate::config::{
    declare::{Field, settings},
    option::{switch, text, whole},
    parse,
    reader::{FaultNoted, Read, Reader},
};

settings! { DIRECTORY "The folder of CONNECTOR_SEND_TO_DIRECTORY":
    /// `CONNECTOR_SEND_TO_DIRECTORY…` and `HARFANGLAB_INCIDENTS_DIRECTORY_MODE`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DirectorySettings {
        /// Deliver to files, as for a one-way transfer.
        also CONNECTOR_SEND_TO_DIRECTORY: switch().default("false");
        /// Their folder; required when the line above is true.
        also CONNECTOR_SEND_TO_DIRECTORY_PATH: text("the path of a folder");
        /// The folder (`CONNECTOR_SEND_TO_DIRECTORY_PATH`).
        path: PathBuf = from path;
        /// Days after which our files there are removed; 0 keeps them.
        retention_days: u32 = CONNECTOR_SEND_TO_DIRECTORY_RETENTION: whole(0, 36_500)
            .note("days, 0 to keep the files for ever").default("7");
        /// Mode of the files that `CONNECTOR_SEND_TO_DIRECTORY` writes, whatever the umask. They hold alerts:
        /// 0640 lets the service and its group read them, 0644 everybody on the machine. A folder that the
        /// service makes may be entered by those who may read the files.
        mode: u32 = HARFANGLAB_INCIDENTS_DIRECTORY_MODE:
            text("an octal file mode from 0600 to 0666, such as 0640").default("0640"),
            by parse::file_mode;
    }
}

/// Reads what is set of a folder; `None` when nothing is delivered to one.
pub(super) fn read(reader: &mut Reader<'_>) -> Read<Option<DirectorySettings>> {
    let is_on = bool::read(reader, &CONNECTOR_SEND_TO_DIRECTORY);
    let settings = DirectorySettings::read(reader);
    if !is_on? {
        return Ok(None);
    }
    if matches!(Option::<String>::read(reader, &CONNECTOR_SEND_TO_DIRECTORY_PATH), Ok(None)) {
        reader.fault(
            &CONNECTOR_SEND_TO_DIRECTORY_PATH,
            "is missing while CONNECTOR_SEND_TO_DIRECTORY is true",
            "set it to the path of the folder that the bundles go to",
        );
    }
    settings.map(Some)
}

fn path(reader: &mut Reader<'_>) -> Read<PathBuf> {
    let path = Option::<String>::read(reader, &CONNECTOR_SEND_TO_DIRECTORY_PATH)?;
    path.map(PathBuf::from).ok_or(FaultNoted)
}
