require ["fileinto", "mailbox", "regex", "vacation", "variables"];

set "dollar" "$";

# "; stop; # */ ${name}
if header :is "Subject" [
    "\"; discard; #",
    "${dollar}{from}",
    "back\\slash",
    "${hex:40}"
] {
    fileinto :create "a \"b\" ${dollar}{c} \\d";
    set "handled" "yes";
}

# Dots
if allof (
    anyof (header :matches "X-Kind" "\\*", header :regex "X-Kind" "^a.\\\\.*$"),
    not header :matches "X-IEMS-Verdict" "junk;*"
) {
    vacation :days 7 :handle "rule Dots" text:
..
...
text:
..
${dollar}{subject}
.
;
    set "handled" "yes";
}

# Later
if string :is "${handled}" "" {
    fileinto :create "Junk";
} else {
    discard;
}

stop;
