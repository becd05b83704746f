# Files into Junk what the agent calls junk. It stands alone and is compiled when it is installed:
# a script that fails here would leave everything in INBOX with nobody noticing; `iems probe` looks.
require "fileinto";
if header :matches "X-IEMS-Verdict" "junk;*" {
    fileinto "Junk";
}
