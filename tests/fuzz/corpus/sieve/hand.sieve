# Mine.

require ["fileinto" , "imap4flags"];  # what I need
Require "relational"; /* and
this */
IF AnyOf ( header :Contains ["Subject", "x"] "y", NOT size :over 2k ,
    address :count "ge" /* here */ "to" ["10"])
{ FileInto text: # a text
Inbox/"Friends"
..dot
.
; keep
; }
elsif true { } else { discard; }
