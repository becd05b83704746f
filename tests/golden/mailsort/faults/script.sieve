# One server too many
if allof (
    header :contains "Subject" "a",
    not header :matches "X-IEMS-Verdict" "junk;*"
) {
    redirect "a@a.example";
    redirect "b@b.example";
    redirect "c@c.example";
}

# Two more
if allof (
    header :contains "Subject" "b",
    not header :matches "X-IEMS-Verdict" "junk;*"
) {
    redirect "d@d.example";
    redirect "e@e.example";
}

# All of it
discard;
stop;
