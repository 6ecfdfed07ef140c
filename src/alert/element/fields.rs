//! The fields that some reader asks for, wherever they stand: a name is enough, since the blocks that
//! nobody reads are passed over as a whole. A test records what the readers ask for and compares.

use std::{collections::HashSet, sync::LazyLock};

/// Names of fields, parted by spaces.
const READ: &str = "\
    @event_create_date @timestamp DestinationHostname DestinationIp DestinationPort Initiated \
    MemberDomainName MemberName MemberSid PowershellCommand PowershellScriptPath Protocol \
    SourceIp SourcePort SubjectDomainName SubjectUserName SubjectUserSid TargetDomainName \
    TargetSid TargetUserName TargetUserSid User UserSid action address agent agent_hostname \
    agent_id agent_ostype agentid agents alert alert_subtype alert_time alert_type \
    alert_unique_id ancestors av_detection_details category channel code_signature command_line \
    commandline comment company company_name computer_name confidence content correlation \
    create_time created creation_date current_directory daddr data description destination \
    detail details details_connection details_dns_resolution details_file details_library \
    details_powershell details_registry details_url_request detection detection_date \
    detection_timestamp direction display_name dll dnames dns dnsdomainname domain domainname \
    dport driverload ecs email enabled end_timestamp engine entity_id ephemeral_id event event_data \
    event_date event_id event_session event_time event_type eventlog events eventtime_datetime executable \
    execution exists file file_description file_hashes file_path file_size file_version \
    filter_description filter_id filter_name firewall_self_protection first_seen full full_name \
    grandparent_commandline grandparent_image grandparent_integrity_level grandparent_unique_id \
    group_by_fields groups hash hashes hlab host hostname http id identifier image_loaded \
    image_name imagename imagepath impacted_user_count impacted_users imphash integrity_level \
    ioc_matches ioc_uuid \
    ip ip_addresses ipaddress is_group_by_process is_standalone_rule issuer_name key kind \
    last_seen last_update level log_name log_type logon_type matched_rules maturity md5 message \
    method mitre_cells mitre_tactics msg name namespace network note organization original \
    original_file_name original_filename os osproducttype ostype osversion parent \
    parent_commandline parent_image parent_integrity_level parent_unique_id path pe pe_imphash \
    pe_info pid port ppid process process_name process_session process_unique_id product \
    product_name provider_description provider_name provider_service_name quarantine query_type \
    question record_id record_number reference references registry request requested_name \
    resolved_ip rule rule_content rule_id rule_level rule_name rule_technique_tags rule_type \
    rulename rules saddr security_event_count security_event_count_by_level serial_number sha1 \
    sha256 sha512 sid sigma_rule_content signature_info signature_name signatures signed \
    signed_authenticode signed_catalog signer_info size slug source source_hostname source_id \
    source_ip source_name source_port sport start start_timestamp status status_history strings \
    subject_name subtechnique tags target_domain target_filename target_object target_sid \
    target_username technique tenant threat threat_key threat_values thumbprint thumbprint_sha1 \
    timestamp title top_agents top_impacted_users top_rules total_security_event_count transport \
    type unique_id url user user_data user_name user_sid username usersid valid value \
    value_count_values verb version winlog working_directory written_file_hashes \
    written_file_pe_imphash written_file_pe_info written_file_signature_info \
    written_file_signatures written_file_signed written_file_size";

/// Names of fields with a space in them.
const READ_SPACED: [&str; 2] = ["Detection User", "Remediation User"];

/// Fields whose own fields are read whatever they are called.
const READ_WHOLE: [&str; 3] = ["event_data", "security_event_count_by_level", "user_data"];

/// Lists that are read in every block of an alert, also in those that are new to us.
const READ_IN_ANY_BLOCK: [&str; 2] = ["ioc_matches", "matched_rules"];

static NAMES: LazyLock<HashSet<&str>> =
    LazyLock::new(|| READ.split(' ').chain(READ_SPACED).collect());

/// Returns whether some reader asks for a field of this name. Senders also flatten: `host.os.type`.
pub(super) fn is_read(name: &str) -> bool {
    name.split('.').all(|part| {
        NAMES.contains(part)
            // Each system has its own, and not all their names are published.
            || (part.starts_with("details_") && part.ends_with("filesystem_event"))
    })
}

/// Returns whether a field of this name is read in every block.
pub(super) fn is_read_in_any_block(name: &str) -> bool {
    READ_IN_ANY_BLOCK.contains(&name)
}

/// Returns whether all fields of the field of this name are read.
pub(super) fn is_read_whole(name: &str) -> bool {
    READ_WHOLE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_nested_or_flattened() {
        assert!(is_read("host.os.type") && is_read("details_linux_filesystem_event"));
        assert!(!is_read("host.unheard_of") && !is_read("") && !is_read("."));
    }
}
