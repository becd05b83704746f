require ["copy", "fileinto", "imap4flags", "mailbox", "vacation", "variables"];

# Copies
if header :contains "Subject" "report" {
    fileinto :copy :create "Reports";
    set "filed_1" "yes";
    set "handled" "yes";
    if not header :matches "X-IEMS-Verdict" "junk;*" {
        redirect :copy "me@elsewhere.example";
    }
}

# Flags come between
if address :is "From" "boss@office.example" {
    addflag "\\Flagged";
}

# Again
if size :over 100K {
    if string :is "${filed_1}" "" {
        fileinto :create "Reports";
    }

    discard;
    set "handled" "yes";
    if not header :matches "X-IEMS-Verdict" "junk;*" {
        redirect "me@elsewhere.example";
        discard;
    }
}

# Answers
if allof (
    header :contains "Subject" "price",
    not header :matches "X-IEMS-Verdict" "junk;*"
) {
    vacation :days 7 :handle "rule Answers" "Ask Carl.";
    set "answered" "yes";
    set "handled" "yes";
}

# Answers too
if allof (
    header :contains "Subject" "offer",
    not header :matches "X-IEMS-Verdict" "junk;*"
) {
    if string :is "${answered}" "" {
        vacation :days 2 :subject "Your mail" :handle "rule Answers too" text:
Ask
Carl.
.
;
    }

    set "handled" "yes";
}

# Refuses what nobody has handled
if header :contains "Subject" "lottery" {
    if string :is "${handled}" "" {
        fileinto :create "Junk";
    } else {
        discard;
    }

    stop;
}
