require ["envelope", "reject"];

# A friend there
if envelope :is "from" "carl@spam.example" {
    stop;
}

# Spammers
if anyof (
    envelope :domain :is "from" ["junk.example", "ads.example"],
    envelope :domain :matches "from" ["*.junk.example", "*.ads.example"],
    envelope :is "from" "ann@shop.example"
) {
    reject "Nothing from you, please.";
    stop;
}

# A friend is there
if anyof (
    envelope :domain :is "from" "spam.example",
    envelope :domain :matches "from" "*.spam.example"
) {
    reject "No.";
    stop;
}
