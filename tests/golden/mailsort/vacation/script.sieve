require ["date", "fileinto", "mailbox", "relational", "vacation", "variables"];

# Vacation
if allof (
    currentdate :value "ge" "date" "2026-12-01",
    currentdate :value "le" "date" "2026-12-10",
    not header :matches "X-IEMS-Verdict" "junk;*",
    not header :contains "Subject" "lottery"
) {
    vacation :days 3 :subject "Away" :addresses "bobby@example.org" :handle "vacation 2026-12-01" :mime text:
Content-Type: multipart/alternative; boundary="=_iems"

--=_iems
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

I am away until 10 December.
Gr=C3=BC=C3=9Fe, Bob
--=_iems
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>I am away until 10 December.</p>
--=_iems--
.
;
    set "answered" "yes";
}

# Refuses
if header :contains "Subject" "lottery" {
    fileinto :create "Junk";
    stop;
}

# Answers
if allof (
    header :contains "Subject" "price",
    not header :matches "X-IEMS-Verdict" "junk;*",
    string :is "${answered}" ""
) {
    vacation :days 7 :addresses "bobby@example.org" :handle "rule Answers" "Ask Carl.";
}
