//! Holds what a program file says of itself and who vouches for it: its signature and its version
//! resource. The same for a process's image, a driver, a library and a written file.

/// Signature and version resource of a program file. None of it is proof: the version resource is
/// whatever its author wrote, and malware likes to call itself Microsoft's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binary {
    /// `signed`, else whether `signature_info` says so by Authenticode or by catalogue; for ECS
    /// `code_signature.exists`, else `code_signature.valid`.
    pub signed: Option<bool>,
    /// `signature_info.status` in lower case (`valid`, `unknown`, …).
    pub signature_status: Option<String>,
    /// `signature_info.signer_info.display_name`: on whose name the certificate is.
    pub signer: Option<String>,
    /// `signature_info.signer_info.issuer_name`: who gave the certificate.
    pub issuer: Option<String>,
    /// `signature_info.signer_info.serial_number` of the certificate.
    pub serial_number: Option<String>,
    /// `signature_info.signer_info.thumbprint`: SHA-1 of the certificate.
    pub thumbprint: Option<String>,
    /// `pe_info.company_name`.
    pub company: Option<String>,
    /// `pe_info.product_name`.
    pub product: Option<String>,
    /// `pe_info.file_description`.
    pub description: Option<String>,
    /// `pe_info.file_version`.
    pub file_version: Option<String>,
    /// `pe_info.original_filename`: another one than the file's own betrays a renamed tool.
    pub original_name: Option<String>,
    /// `pe_imphash` in lower case: MD5 over the imported functions.
    pub import_hash: Option<String>,
}
