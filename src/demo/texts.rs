//! What the demo's company writes, and what people answer.

use super::people;

/// A mailing of the story.
pub(super) struct Written {
    pub subject: &'static str,
    pub lists: &'static [&'static str],
    pub header: &'static str,
    pub message: &'static str,
    pub footer: &'static str,
}

pub(super) const CATALOGUE: Written = Written {
    subject: "Katalog kain musim ini",
    lists: &[people::NEWSLETTER],
    header: "Katalog baru",
    message: "Halo {{contact.name|Kak}},\n\nkatalog kain musim ini sudah siap: *42 motif*, dari Parang sampai Mega Mendung, semua pewarna alam.\n\nBalas pesan ini bila ada motif yang dicari, kami kirim fotonya.",
    footer: "Balas STOP untuk berhenti",
};
pub(super) const WEEKEND: Written = Written {
    subject: "Promo akhir pekan untuk member",
    lists: &[people::BANDUNG, people::JAKARTA],
    header: "Akhir pekan ini saja",
    message: "Halo {{contact.full_name|Kak}},\n\nsebagai member Anda mendapat *potongan 20 %* untuk semua kain katun, Sabtu dan Minggu di toko.\n\nPoin Anda sekarang: *{{contact.points|0}}*.",
    footer: "Balas STOP untuk berhenti",
};
pub(super) const FAIR: Written = Written {
    subject: "Undangan pameran (dibatalkan)",
    lists: &[people::NEWSLETTER],
    header: "",
    message: "Halo {{contact.name|Kak}}, kami ikut pameran kerajinan pekan depan. Mampir ke stan B-17 ya.",
    footer: "Balas STOP untuk berhenti",
};
pub(super) const PRICES: Written = Written {
    subject: "Harga reseller terbaru",
    lists: &[people::RESELLERS],
    header: "Untuk reseller",
    message: "Halo {{contact.name}},\n\nharga reseller berlaku mulai Senin:\n- Katun cap: Rp 145.000\n- Katun tulis: Rp 390.000\n- Sutra: Rp 820.000\n\nMinimal 5 lembar, boleh campur motif.",
    footer: "Balas STOP untuk berhenti",
};
pub(super) const SHIPPING: Written = Written {
    subject: "Free shipping abroad this week",
    lists: &[people::OVERSEAS],
    header: "Free shipping",
    message: "Hello {{contact.name|there}},\n\nUntil Sunday we ship to *{{contact.city|your city}}* for free, from two pieces on. Every cloth comes with the name of the woman who drew it.",
    footer: "Reply STOP to unsubscribe",
};
pub(super) const INVITATION: Written = Written {
    subject: "Workshop batik: konfirmasi tempat",
    lists: &[people::WORKSHOP],
    header: "Sampai jumpa di workshop",
    message: "Halo {{contact.name|Kak}},\n\ntempat Anda sudah kami siapkan. Datang 15 menit lebih awal, pakai baju yang boleh kena malam.\n\nBalas *YA* bila jadi datang.",
    footer: "Balas STOP untuk berhenti",
};
pub(super) const READY: Written = Written {
    subject: "Promo Parang, siap dikirim",
    lists: &[people::BANDUNG, people::JAKARTA],
    header: "Parang pekan ini",
    message: "Halo {{contact.full_name|Kak}},\n\nmotif *Parang Rusak* kembali ada, hanya 60 lembar. Member bisa memesan lebih dulu sampai Jumat.\n\nPoin Anda: {{contact.points|0}}.",
    footer: "Balas STOP untuk berhenti",
};
pub(super) const STOCK: Written = Written {
    subject: "Stok baru: Mega Mendung",
    lists: &[people::NEWSLETTER],
    header: "",
    message: "Halo {{contact.name|Kak}}, Mega Mendung biru indigo sudah di toko lagi. Mau kami simpankan selembar?",
    footer: "Balas STOP untuk berhenti",
};
pub(super) const ENGLISH: Written = Written {
    subject: "How natural indigo is made (draft)",
    lists: &[people::OVERSEAS],
    header: "",
    message: "Hello {{contact.name|there}}, we filmed a day at the indigo vats. Shall we send you the link?",
    footer: "Reply STOP to unsubscribe",
};

pub(super) const AFTER_CATALOGUE: [&str; 12] = [
    "Motif Parang yang kecil masih ada?",
    "Boleh minta foto Mega Mendung biru?",
    "Harga katun tulis berapa ya Kak?",
    "STOP",
    "Kirim ke Makassar bisa?",
    "berhenti",
    "Wah bagus sekali 😍",
    "Saya mau yang sogan, dua lembar",
    "stop",
    "Toko buka sampai jam berapa?",
    "Unsubscribe",
    "Terima kasih infonya",
];
pub(super) const AFTER_WEEKEND: [&str; 7] = [
    "Berlaku untuk sutra juga?",
    "Bisa pesan lewat WA saja?",
    "STOP",
    "Saya ke toko besok pagi",
    "Poin saya bisa dipakai sekalian?",
    "Ok siap",
    "berhenti",
];
pub(super) const AFTER_SHIPPING: [&str; 5] = [
    "Do you ship to Tasmania as well?",
    "Lovely, is the indigo scarf still available?",
    "STOP",
    "How long does it take to Utrecht?",
    "Can I pay by card?",
];
pub(super) const UNREAD_MESSAGES: [&str; 11] = [
    "YA",
    "Ya, saya datang berdua boleh?",
    "YA 🙏",
    "Maaf tidak jadi, ada acara keluarga",
    "Parkirnya di mana Kak?",
    "Ya",
    "Apakah perlu bawa kain sendiri?",
    "STOP",
    "Boleh ajak anak umur 9 tahun?",
    "Saya datang agak terlambat, bisa?",
    "ya kak",
];
