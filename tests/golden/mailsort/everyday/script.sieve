require ["copy", "enotify", "fileinto", "imap4flags", "mailbox", "regex"];

# Invoices
if anyof (
    address :domain :is "From" "shop.example",
    address :domain :matches "From" "*.shop.example",
    header :contains "Subject" ["invoice", "bill"],
    not header :is "X-Kind" "private"
) {
    addflag ["\\Flagged", "\\Seen"];
    fileinto :copy :create "Invoices";
    stop;
}

# Mailing lists
if header :contains "List-Id" "dev.example" {
    fileinto :create "Lists/Dev";
}

# To my other address, and here
if not header :matches "X-IEMS-Verdict" "junk;*" {
    redirect :copy "me@elsewhere.example";
}

# Newsletters
if allof (
    address :matches "From" "news@*",
    header :regex "Subject" "^\\[.*\\]"
) {
    fileinto :create "Trash";
    stop;
}

# Tell my phone
if address :is "From" "boss@office.example" {
    notify "mailto:me@phone.example?body=The%20boss%0D%0Ahas%20written.";
}
