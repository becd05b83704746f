"""Scripts in the storage of users: put there by ManageSieve, beside what is theirs."""
