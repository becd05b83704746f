require ["body", "comparator-i;ascii-numeric", "date", "envelope", "regex",
    "relational"];

# Every test
if allof (
    not envelope :is "from" "",
    envelope :contains "to" "+shop",
    anyof (
        address :is "X-Original-To" "sales@example.org",
        allof (
            not exists "X-Original-To",
            envelope :is "to" "sales@example.org"
        )
    ),
    anyof (
        address :domain :is ["To", "Cc", "Bcc"] ["example.org", "shop.example"],
        address :domain :matches ["To", "Cc", "Bcc"] [
            "*.example.org",
            "*.shop.example"
        ]
    ),
    exists "Reply-To",
    anyof (
        header :matches "Subject" ["bill ??", "* due"],
        header :regex "Subject" "^.nvoice.*$"
    ),
    exists "X-Kind",
    body :text :contains "overdue",
    size :over 1M,
    currentdate :value "ge" "date" "2026-12-01",
    currentdate :value "le" "date" "2026-12-31",
    anyof (
        currentdate :value "ge" "time" "22:00:00",
        currentdate :value "lt" "time" "06:00:00"
    ),
    currentdate :is "weekday" ["6", "0"],
    header :matches "X-IEMS-Verdict" ["junk;*", "tag;*"],
    header :value "gt" :comparator "i;ascii-numeric" "X-IEMS-Score" "90",
    header :is "X-IEMS-Fact" "dnsbl/zen=listed",
    header :is "X-IEMS-Fact" "virus=infected",
    header :is "X-IEMS-Fact" ["known=address-book", "known=allow-list"]
) {
    stop;
}
