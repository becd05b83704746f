# What can be done with this tree: `make help`. Nothing here is needed on a server but `mailserver`,
# which installs Ansible and hands over to ansible/site.yml.

DOMAIN ?= example.test
ADMIN ?= postmaster@$(DOMAIN)

# Debian's own Python: the suite runs on it, and python3 in the PATH may be another one.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
DIST ?= dist
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800
JOBS ?=

# Only one that is given to make counts: shells and containers set a HOSTNAME of their own.
ifneq ($(origin HOSTNAME),command line)
HOSTNAME := mail.$(DOMAIN)
endif

BUILD_PACKAGES := gcc libc6-dev python3-dev python3-venv libmilter-dev libldap-dev libsasl2-dev
DEPLOY_PACKAGES := ansible-core python3-apt $(BUILD_PACKAGES)
TEST_PACKAGES := $(DEPLOY_PACKAGES) postfix postfix-ldap postfix-pcre \
	dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-managesieved dovecot-sieve \
	dovecot-ldap slapd ldap-utils rbldnsd unbound redis-server spamassassin spamd rspamd \
	clamav-daemon c-icap libc-icap-mod-virus-scan opendkim swaks libnet-ssleay-perl openssl \
	chromium-headless-shell gir1.2-gmime-3.0 python3-gi altermime amavisd-new libmail-spf-perl \
	systemd git procps python3-jsonschema procmail maildrop \
	prometheus fail2ban faketime man-db bash-completion zsh
BENCH_PACKAGES := libgmime-3.0-0 zstd spamass-milter bogofilter crm114
MACHINE_PACKAGES := systemd-container debootstrap iproute2 iptables util-linux git rbldnsd unbound \
	swaks libnet-ssleay-perl

# Ansible refuses to run where the locale is not UTF-8, and Debian sets none for root.
PLAYBOOK = LC_ALL=C.UTF-8 ANSIBLE_CONFIG=ansible/ansible.cfg ansible-playbook --inventory ansible/inventories/local

# Each of several processes of pytest has servers of its own, and takes one file after another. Without
# JOBS there are two for all tests: one runs those that need servers, which mostly wait, and the other
# one the rest.
SHARED := $(if $(filter-out 1,$(JOBS)),-n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0)
BESIDE := $(if $(JOBS),$(SHARED),-n 2 --dist loadscope --max-worker-restart 0)

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: mailserver
mailserver: ## make this machine a mail server (as root; DOMAIN, HOSTNAME, ADMIN, TLS_CERT, TLS_KEY)
	@test "$$(id -u)" = 0 || { echo "make mailserver needs root: sudo make mailserver" >&2; exit 1; }
	@scripts/apt-install $(DEPLOY_PACKAGES)
	@$(PLAYBOOK) ansible/site.yml \
		--extra-vars 'domain=$(DOMAIN) hostname=$(HOSTNAME) admin=$(ADMIN)' \
		--extra-vars 'tls_cert=$(TLS_CERT) tls_key=$(TLS_KEY)'

.PHONY: rollback
rollback: ## run the release before this one; again: go forward (as root)
	@test "$$(id -u)" = 0 || { echo "make rollback needs root: sudo make rollback" >&2; exit 1; }
	@$(PLAYBOOK) ansible/rollback.yml

.PHONY: uninstall
uninstall: ## take the suite off this machine (as root; mail, directory and packages stay)
	@test "$$(id -u)" = 0 || { echo "make uninstall needs root: sudo make uninstall" >&2; exit 1; }
	@$(PLAYBOOK) ansible/uninstall.yml

# The daemons of the tests run as users of their own, from this very tree.
_reachable:
	@test "$$(id -u)" != 0 || \
		setpriv --reuid nobody --regid nogroup --clear-groups test -r $(CURDIR)/Makefile || \
		{ echo "other users cannot read $(CURDIR): move it out of /root, or open the folders above it" >&2; exit 1; }

.PHONY: test
test: _reachable $(CACHE)/test-packages check ## everything but the booted machines, on a fresh Debian too (JOBS at once)
	$(BIN)/pytest -q $(BESIDE) --ignore=tests/system tests

.PHONY: unit
unit: $(CACHE)/test-packages $(VENV)/stamp ## the fast tests: no server, no network
	$(BIN)/pytest -q $(SHARED) tests/unit tests/qa tests/fuzz

.PHONY: explore
explore: $(CACHE)/test-packages $(VENV)/stamp ## the fast tests with ten times as many examples, others each time
	$(BIN)/pytest -q --hypothesis-profile=explore tests/unit tests/mailsort tests/fuzz

.PHONY: check
check: $(VENV)/stamp ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fmt
fmt: $(VENV)/stamp ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/stamp ## make the references of settings and policy and the schema of rules anew
	@mkdir -p $(CACHE)
	$(BIN)/python -m cli.reference > $(CACHE)/settings.md
	$(BIN)/python -m cli.policy_reference > $(CACHE)/policy-reference.md
	$(BIN)/python -m sieve.mailsort.schema > $(CACHE)/mailsort.schema.json
	mv $(CACHE)/settings.md $(CACHE)/policy-reference.md docs/
	mv $(CACHE)/mailsort.schema.json docs/schema/

.PHONY: golden
golden: $(VENV)/stamp ## record the golden cases anew; the review is in the diff
	$(BIN)/pytest -q tests/golden --record

.PHONY: system
system: $(CACHE)/machine-packages $(VENV)/stamp ## boot machines, provision them, use them (as root)
	$(BIN)/pytest -q -m system tests/system

.PHONY: bench
bench: $(CACHE)/test-packages $(CACHE)/bench-packages $(VENV)/stamp ## measure; prints the tables of docs/benchmarks.md
	$(BIN)/python -m bench

.PHONY: soak
soak: $(CACHE)/test-packages $(VENV)/stamp ## steady load, and whether anything grows (SOAK_SECONDS, RATE)
	$(BIN)/python -m bench.soak --seconds $(SOAK_SECONDS) $(if $(RATE),--rate $(RATE))

.PHONY: fuzz
fuzz: $(CACHE)/fuzz/stamp ## look for input that breaks a law (FUZZ_SECONDS a target, TARGET for one)
	$(CACHE)/fuzz/venv/bin/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(TARGET)

.PHONY: dist
dist: ## build the wheel into dist/ (with PYTHON, whose setuptools are used)
	@scripts/build-wheel $(PYTHON) $(DIST)

.PHONY: lock
lock: ## resolve the dependencies anew into the lock files
	@scripts/lock $(PYTHON) $(CACHE)/lock

.PHONY: clean
clean: ## remove what make made in this tree
	rm -rf $(VENV) $(CACHE) dist build *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CACHE)/test-packages: Makefile scripts/apt-install
	scripts/apt-install $(TEST_PACKAGES)
	@mkdir -p $(@D) && touch $@

$(CACHE)/bench-packages: Makefile scripts/apt-install
	scripts/apt-install $(BENCH_PACKAGES)
	@mkdir -p $(@D) && touch $@

$(CACHE)/machine-packages: Makefile scripts/apt-install
	scripts/apt-install $(MACHINE_PACKAGES) $(BUILD_PACKAGES)
	@mkdir -p $(@D) && touch $@

# The stamp is younger than the lock it was made from; a changed lock makes the environment anew.
$(VENV)/stamp: requirements-dev.lock | $(CACHE)/build-packages
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	scripts/install-locked $(BIN)/python requirements-dev.lock
	@touch $@

# The fuzzer has an environment of its own, so that nothing else depends on it.
$(CACHE)/fuzz/stamp: requirements-fuzz.lock | $(CACHE)/build-packages
	rm -rf $(@D)/venv
	$(PYTHON) -m venv $(@D)/venv
	scripts/install-locked $(@D)/venv/bin/python requirements-fuzz.lock
	@touch $@

$(CACHE)/build-packages: Makefile scripts/apt-install
	scripts/apt-install $(BUILD_PACKAGES)
	@mkdir -p $(@D) && touch $@
