# What a user does with a message in any IMAP program is told to iems-bayes, which keeps it and then
# trains his filter (docs/training.md). imapsieve runs this for each message that is copied, moved or
# appended, or whose flags change, and a move is a copy to it. Folders count by their special use, or
# by that of the one at the top in which they are; INBOX, with which names may begin, is none.
# Where the daemon does not take it, twice, the message gets a keyword, by which the sweep finds it.
require ["environment", "imapsieve", "vnd.dovecot.imapsieve", "variables", "special-use",
    "imap4flags", "vnd.dovecot.execute"];

set "from" "other";
set "to" "other";

if environment :is "imap.cause" "FLAG" {
    # That a message was read is most of what comes here.
    if not environment :contains "imap.changedflags" ["junk", "\\Answered"] {
        stop;
    }
    set "verb" "flag";
    if anyof (
        allof (hasflag "$Junk", environment :matches "imap.changedflags" ["$Junk", "$Junk *", "* $Junk", "* $Junk *"]),
        allof (hasflag "Junk", environment :matches "imap.changedflags" ["Junk", "Junk *", "* Junk", "* Junk *"])) {
        set "label" "spam";
    }
    if anyof (
        allof (hasflag "$NotJunk", environment :matches "imap.changedflags" ["$NotJunk", "$NotJunk *", "* $NotJunk", "* $NotJunk *"]),
        allof (hasflag "NonJunk", environment :matches "imap.changedflags" ["NonJunk", "NonJunk *", "* NonJunk", "* NonJunk *"])) {
        # Both at once say nothing.
        if string "${label}" "spam" {
            stop;
        }
        set "label" "ham";
    }
    if string "${label}" "" {
        if environment :matches "imap.mailbox" "*" {
            set "name" "${1}";
        }
        set "top" "${name}";
        if string :matches "${name}" "INBOX.*.*" {
            set "top" "INBOX.${1}";
        } elsif string :matches "${name}" "INBOX/*/*" {
            set "top" "INBOX/${1}";
        } elsif string :matches "${name}" ["*.*", "*/*"] {
            set "top" "${1}";
        }
        if anyof (specialuse_exists "${name}" "\\Junk",
            specialuse_exists "${top}" "\\Junk",
            not hasflag "\\Answered",
            not environment :contains "imap.changedflags" "\\Answered") {
            stop;
        }
        # Whether it counts the daemon alone knows: no keyword is left.
        set "verb" "reply";
    }
} else {
    if environment :matches "vnd.dovecot.mailbox-to" "*" {
        set "name" "${1}";
    }
    set "top" "${name}";
    if string :matches "${name}" "INBOX.*.*" {
        set "top" "INBOX.${1}";
    } elsif string :matches "${name}" "INBOX/*/*" {
        set "top" "INBOX/${1}";
    } elsif string :matches "${name}" ["*.*", "*/*"] {
        set "top" "${1}";
    }
    if string "${name}" ["Train/Spam", "Train.Spam", "INBOX/Train/Spam", "INBOX.Train.Spam"] {
        set "to" "spam";
    } elsif string "${name}" ["Train/Ham", "Train.Ham", "INBOX/Train/Ham", "INBOX.Train.Ham"] {
        set "to" "ham";
    } elsif anyof (specialuse_exists "${name}" "\\Junk", specialuse_exists "${top}" "\\Junk") {
        set "to" "junk";
    } elsif anyof (specialuse_exists "${name}" "\\Trash", specialuse_exists "${top}" "\\Trash") {
        stop;
    }
    set "verb" "append";
    if environment :is "imap.cause" "COPY" {
        set "verb" "move";
        if environment :matches "vnd.dovecot.mailbox-from" "*" {
            set "name" "${1}";
        }
        set "top" "${name}";
        if string :matches "${name}" "INBOX.*.*" {
            set "top" "INBOX.${1}";
        } elsif string :matches "${name}" "INBOX/*/*" {
            set "top" "INBOX/${1}";
        } elsif string :matches "${name}" ["*.*", "*/*"] {
            set "top" "${1}";
        }
        if string "${name}" ["Train/Spam", "Train.Spam", "INBOX/Train/Spam", "INBOX.Train.Spam"] {
            set "from" "spam";
        } elsif string "${name}" ["Train/Ham", "Train.Ham", "INBOX/Train/Ham", "INBOX.Train.Ham"] {
            set "from" "ham";
        } elsif anyof (specialuse_exists "${name}" "\\Junk", specialuse_exists "${top}" "\\Junk") {
            set "from" "junk";
        } elsif anyof (specialuse_exists "${name}" "\\Trash", specialuse_exists "${top}" "\\Trash") {
            set "from" "trash";
        }
    }
    # Neither says anything: mail that is filed, copied or imported.
    if string "${from}" "${to}" {
        stop;
    }
    if allof (string "${to}" "other", string "${from}" "ham") {
        stop;
    }
    # What more has to be so for it to count, the daemon alone knows: then no keyword is left.
    if anyof (string "${to}" "spam", allof (string "${to}" "junk", string "${verb}" "move")) {
        set "label" "spam";
    } elsif anyof (string "${to}" "ham", allof (string "${to}" "other", string "${from}" ["junk", "spam"])) {
        set "label" "ham";
    }
}

if environment :matches "imap.user" "*" {
    set "user" "${1}";
}
if anyof (
    execute :pipe "iems-bayes" ["${verb}", "${user}", "from=${from}", "to=${to}", "label=${label}"],
    execute :pipe "iems-bayes" ["${verb}", "${user}", "from=${from}", "to=${to}", "label=${label}"]) {
    # Said later than what may have been left before; an answer counts only where nothing was said.
    if allof (not string "${verb}" "reply", hasflag ["$IEMSSpam", "$IEMSHam"]) {
        removeflag ["$IEMSSpam", "$IEMSHam"];
        keep;
    }
} elsif string "${label}" "spam" {
    addflag "$IEMSSpam";
    removeflag "$IEMSHam";
    keep;
} elsif string "${label}" "ham" {
    addflag "$IEMSHam";
    removeflag "$IEMSSpam";
    keep;
}
