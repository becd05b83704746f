require ["envelope", "fileinto", "mailbox"];

# A friend there
if envelope :is "from" "carl@spam.example" {
    stop;
}

# A friend is there
if anyof (
    envelope :domain :is "from" "spam.example",
    envelope :domain :matches "from" "*.spam.example"
) {
    fileinto :create "Junk";
    stop;
}
