"""Scripts in the storage of users: put there by ManageSieve or doveadm, beside what is theirs."""
