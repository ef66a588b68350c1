//! Headers of columns and what they mean: English, Indonesian, and the exports of the programs that
//! people move their contacts from.

use crate::text::keyword;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Name,
    /// First, middle or last name.
    NamePart,
    Number,
    /// A number only if its cells are numbers: "Contact", "No", "Number".
    MaybeNumber,
    Title,
    Country,
    Email,
    CompanyName,
    JobPosition,
    Description,
    Tags,
    Lists,
    OptOut,
    /// A subscriber's state, in listmonk's words.
    Status,
    Attributes,
    /// Of another program's bookkeeping.
    Ignore,
}

/// Names of contacts' own fields: no attribute may be called so, its placeholder would name the field.
pub(super) const TAKEN: &[&str] = &[
    "name",
    "full_name",
    "title",
    "whatsapp_number",
    "country",
    "email",
    "company_name",
    "job_position",
    "description",
];

/// Headers as [`plain`] makes them, the plainest first.
const HEADERS: &[(Known, &[&str])] = &[
    (
        Known::Number,
        &[
            "whatsapp number",
            "whatsapp",
            "nomor whatsapp",
            "no whatsapp",
            "whatsapp no",
            "whatsapp phone",
            "whatsapp phone number",
            "whatsapp mobile",
            "nomor wa",
            "no wa",
            "wa number",
            "wa no",
            "wa",
            "wa id",
            "mobile number",
            "mobile",
            "mobile phone",
            "mobile no",
            "mobile phone number",
            "phone mobile",
            "phone mobile number",
            "handphone",
            "nomor handphone",
            "no handphone",
            "hp",
            "no hp",
            "nomor hp",
            "nohp",
            "ponsel",
            "nomor ponsel",
            "no ponsel",
            "nomor seluler",
            "seluler",
            "cellphone",
            "cell phone",
            "cell",
            "cellular",
            "cell number",
            "phone number",
            "phone",
            "phone no",
            "phone 1 value",
            "phone 1",
            "primary phone",
            "contact phone",
            "contact mobile",
            "telephone number",
            "telephone",
            "telephone no",
            "nomor telepon",
            "no telepon",
            "telepon",
            "nomor telp",
            "no telp",
            "telp",
            "no tlp",
            "tlp",
            "tel",
            "msisdn",
            "contact number",
            "contact no",
            "nomor kontak",
            "no kontak",
            "recipient number",
            "nomor penerima",
            "to number",
            "phone sanitized",
            "work phone",
            "phone 2 value",
            "phone 2",
            "mobile 2",
            "business phone",
            "home phone",
        ],
    ),
    (
        Known::Name,
        &[
            "full name",
            "nama lengkap",
            "name",
            "nama",
            "nombre",
            "nombre completo",
            "nome",
            "nom",
            "contact name",
            "nama kontak",
            "display name",
            "complete name",
            "customer name",
            "nama pelanggan",
            "nama customer",
            "client name",
            "member name",
            "nama anggota",
            "recipient name",
            "nama penerima",
            "push name",
            "pushname",
            "contact",
            "kontak",
            "customer",
            "pelanggan",
            "recipient",
            "penerima",
            "subscriber",
        ],
    ),
    (
        Known::NamePart,
        &[
            "first name",
            "firstname",
            "given name",
            "nama depan",
            "middle name",
            "additional name",
            "nama tengah",
            "last name",
            "lastname",
            "surname",
            "family name",
            "nama belakang",
        ],
    ),
    (
        Known::MaybeNumber,
        &[
            "number",
            "nomor",
            "no",
            "nr",
            "contact",
            "kontak",
            "recipient",
            "penerima",
            "subscriber",
            "to",
        ],
    ),
    (
        Known::Title,
        &[
            "title",
            "titel",
            "salutation",
            "sapaan",
            "panggilan",
            "gelar",
            "prefix",
            "name prefix",
            "honorific",
            "title shortcut",
            "title id",
            "title abbreviation",
        ],
    ),
    (
        Known::Country,
        &[
            "country",
            "negara",
            "country name",
            "nama negara",
            "country id",
            "country iso",
            "country code",
            "country id name",
            "country id code",
            "country id id",
            "country country name",
            "country country code",
            "country external id",
            "kode negara",
            "nation",
        ],
    ),
    (
        Known::Email,
        &[
            "email",
            "e mail",
            "email address",
            "e mail address",
            "alamat email",
            "surel",
            "mail",
            "email 1",
            "e mail 1 value",
            "email normalized",
            "primary email",
            "work email",
        ],
    ),
    (
        Known::CompanyName,
        &[
            "company name",
            "company",
            "nama perusahaan",
            "perusahaan",
            "organization",
            "organisation",
            "organization name",
            "organization 1 name",
            "organisasi",
            "instansi",
            "nama instansi",
            "business name",
            "employer",
            "related company",
            "related company name",
            "parent name",
            "parent id",
            "parent id name",
            "commercial company name",
            "company id",
        ],
    ),
    (
        Known::JobPosition,
        &[
            "job position",
            "job title",
            "position",
            "jabatan",
            "posisi",
            "function",
            "pekerjaan",
            "occupation",
            "profession",
            "profesi",
            "organization title",
            "organization 1 title",
            "job",
            "role",
        ],
    ),
    (
        Known::Description,
        &[
            "description",
            "deskripsi",
            "notes",
            "note",
            "catatan",
            "comment",
            "comments",
            "komentar",
            "keterangan",
            "remarks",
            "remark",
            "memo",
        ],
    ),
    (
        Known::Tags,
        &[
            "tags",
            "tag",
            "contact tags",
            "labels",
            "label",
            "category",
            "categories",
            "kategori",
            "category id",
            "category ids",
            "tag ids",
            "tags name",
            "tag ids name",
            "category id name",
            "group membership",
        ],
    ),
    (
        Known::Lists,
        &[
            "mailing lists",
            "mailing list",
            "lists",
            "list",
            "milis",
            "daftar kirim",
            "daftar penerima",
            "list name",
            "list names",
            "nama daftar",
            "mailing list ids",
            "list ids",
            "list ids name",
            "mailing lists name",
            "mailing list name",
            "contact list",
            "contact lists",
        ],
    ),
    (
        Known::OptOut,
        &[
            "opt out",
            "optout",
            "opted out",
            "is opt out",
            "whatsapp opt out",
            "unsubscribed",
            "do not contact",
            "blacklisted",
            "blocklisted",
            "blacklist",
            "is blacklisted",
            "berhenti berlangganan",
        ],
    ),
    (Known::Status, &["status", "subscriber status"]),
    (Known::Attributes, &["attributes", "attribs", "atribut"]),
    (
        Known::Ignore,
        &[
            "no",
            "nr",
            "id",
            "external id",
            "database id",
            "uuid",
            "s no",
            "sr no",
            "row",
            "nomor urut",
            "no urut",
            "created on",
            "created at",
            "created by",
            "create date",
            "created",
            "updated at",
            "updated",
            "last updated on",
            "last updated by",
            "last modified on",
            "write date",
            "subscription status",
            "messages sent",
            "received messages",
            "new user",
            "manual entry",
            "active",
            "last sent",
            "last sent date",
            "activities",
            "activity state",
            "message needaction",
            "is company",
            "is a company",
            "company type",
            "is new",
            "is manual",
            "messages received",
            "user id",
            "tags external id",
            "tag ids id",
            "category id id",
            "list ids id",
            "mailing lists external id",
            "related company external id",
            "parent id id",
            "company external id",
            // The last column of the file of rows that were not imported.
            "reason",
            "image 1920",
        ],
    ),
];

/// Words that make a longer header speak of numbers or addresses: "No. WA Aktif", "Parent's phone".
const WORDS: &[(Known, &[&str])] = &[
    (
        Known::MaybeNumber,
        &[
            "whatsapp",
            "wa",
            "phone",
            "mobile",
            "hp",
            "handphone",
            "ponsel",
            "telepon",
            "telp",
            "msisdn",
        ],
    ),
    (Known::Email, &["email", "surel"]),
];

/// What a header may mean, and how plainly it says so, 0 best. Its cells decide between the meanings.
pub(super) fn meanings(header: &str) -> Vec<(Known, usize)> {
    let plain = plain(header);
    let position = |(known, names): &(Known, &[&str])| {
        names
            .iter()
            .position(|name| *name == plain)
            .map(|rank| (*known, rank))
    };
    let found: Vec<(Known, usize)> = HEADERS.iter().filter_map(position).collect();
    if !found.is_empty() {
        return found;
    }
    let speaks =
        |(_, words): &&(Known, &[&str])| plain.split(' ').any(|word| words.contains(&word));
    WORDS
        .iter()
        .filter(speaks)
        .map(|(known, _)| (*known, usize::MAX))
        .collect()
}

/// A header as headers are compared: `WhatsApp_Number (62...)` and `whatsappNumber` are
/// `whatsapp number`.
fn plain(header: &str) -> String {
    let header = header
        .split(['(', '['])
        .next()
        .filter(|start| !start.trim().is_empty())
        .unwrap_or(header);
    let mut words = String::with_capacity(header.len());
    let mut before = ' ';
    for letter in header.replace("WhatsApp", "Whatsapp").chars() {
        if before.is_lowercase() && letter.is_uppercase() {
            words.push(' ');
        }
        words.push(if letter.is_alphanumeric() {
            letter
        } else {
            ' '
        });
        before = letter;
    }
    keyword::normalize(&words)
}
