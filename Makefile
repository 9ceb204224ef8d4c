# The few commands that a maintainer needs. Each sets up what it needs by itself.

PY := .venv/bin/python
export PLATFORM TAG
export PYTHON # make setup PYTHON=python3.12 chooses the interpreter
export PATH := $(CURDIR)/.setup/bin:$(PATH) # tools that were unpacked, where nobody could install them

ARGS ?=
PYTEST_ARGS ?=
ROUNDS ?= 100
SECONDS ?= 600
SEED ?=
FOLDER ?=

# Tests of a group: side by side first, then those that hang on real time, with nothing else beside them. To collect
# all tests once more for these few takes longer than they do, so only their files are looked at.
# pytest's 5 means "no such test here": an error only where neither part has one.
define run_tests
	@$(PY) -m pytest -n 2 --dist loadfile $(PYTEST_ARGS) -m "$(1) not serial"; side_by_side=$$?; \
	test $$side_by_side = 0 || test $$side_by_side = 5 || exit $$side_by_side; \
	$(PY) -m pytest $(or $(PYTEST_ARGS),$$(grep -rl --include="*.py" "mark\.serial" tests)) -n 0 -m "$(1) serial"; alone=$$?; \
	test $$alone != 5 || exit $$side_by_side; \
	exit $$alone
endef

.DEFAULT_GOAL := help
.PHONY: help setup packages tools browser dynamodb emulator demo test test-rest test-all coverage check sim bench image image-test gpio-test wheels bundle words lock soak chaos pictures clean

help: ## what can be done here (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: packages tools ## virtual environment, pinned packages, Mosquitto: whatever is missing

packages:
	@sandbox/setup.sh packages

tools: packages
	@sandbox/setup.sh tools

browser:
	@sandbox/setup.sh browser

dynamodb: packages
	@sandbox/setup.sh dynamodb

caddy: packages
	@sandbox/setup.sh caddy

emulator: packages
	@sandbox/setup.sh emulator

demo: setup $(if $(findstring --lambda,$(ARGS)),emulator dynamodb) ## an arcade of twelve cabinets here, after a purchase as a timeline; ARGS="--once --lambda": end then, as at AWS
	@$(PY) -m arcade_sandbox.demo $(ARGS)

test: setup ## the tests for every change, in minutes: no browser, Java or npm; PYTEST_ARGS="-k wheel -x" goes to pytest
	$(call run_tests,not heavy and)

test-rest: setup browser dynamodb caddy emulator ## the others: whole systems, browser, DynamoDB Local, AWS's emulator, installed packages
	$(call run_tests,heavy and)

test-all: setup browser dynamodb caddy emulator ## both, and then the virtual Pi where it can be had; PYTEST_ARGS chooses from both
	$(call run_tests,)
	$(if $(PYTEST_ARGS),,@sandbox/setup.sh kernel || { echo "skipped, for want of a virtual Pi: make gpio-test"; exit 0; }; $(MAKE) gpio-test)

coverage: packages ## how many branches of the rules their own tests take: domain/, services/ of the cloud, agent/ of the cabinet
	@$(PY) -m coverage run -m pytest -n 0 -q $(PYTEST_ARGS) \
		tests/cloud/domain tests/cloud/services tests/edge/domain tests/edge/agent
	@$(PY) -m coverage report
	@$(PY) -m coverage json -q -o - | $(PY) -c 'import json, sys; total = json.load(sys.stdin)["totals"]; \
		print("branches: {covered_branches} of {num_branches}, {percent_branches_covered:.1f} %".format(**total))'

check: packages ## formatting, lint, types, direction of imports, known mistakes of security
	@failed=; \
	for step in "ruff format --check ." "ruff check ." "mypy" "lint-imports"; do \
		echo "== $$step"; .venv/bin/$$step || failed="$$failed [$$step]"; \
	done; \
	echo "== bandit"; said=$$(.venv/bin/bandit -q -c pyproject.toml -r shared cloud edge sandbox 2>&1) || \
		{ echo "$$said" | grep -v "but no failed test"; failed="$$failed [bandit]"; }; \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

sim: packages ## whole lives of orders under seeded faults, checked from outside; SEED=7 replays one, N=100000 runs more
	PYTHONPATH=tests $(PY) -m simulation $(if $(SEED),--seed $(SEED) --verbose) $(if $(N),--n $(N)) $(ARGS)

bench: setup ## the promised figures, each beside a floor of the same run; ARGS="latency store" chooses
	@PYTHONPATH=tests $(PY) -m bench $(ARGS)

image: ## the image for AWS Lambda, by docker, podman or buildah; PLATFORM=linux/arm64 TAG=name:tag
	@cloud/deploy/image.sh

image-test: packages emulator ## the same Dockerfile on a stand-in base, run as AWS runs it: no registry, no daemon
	@sandbox/setup.sh image
	@$(PY) cloud/deploy/try_image.py

gpio-test: setup ## the agent on a real kernel's GPIO chip, its unit and the cloud's under a real systemd: Linux in a program
	@sandbox/setup.sh kernel
	ARCADE_VIRTUAL_PI=1 $(PY) -m pytest -s tests/gpio/test_virtual_pi.py $(PYTEST_ARGS)

wheels: packages ## one wheel per distribution into dist/, each tried alone in a clean environment
	@rm -rf dist
	$(PY) -m pip --quiet wheel --no-deps --no-build-isolation --wheel-dir dist ./shared ./cloud ./edge ./sandbox
	ARCADE_WHEELS=dist $(PY) -m pytest tests/test_distributions.py
	@ls -l dist

bundle: packages ## all that a cabinet needs, in one archive in dist/; ARGS="aarch64 x86_64" names architectures
	@edge/deploy/bundle.sh $(ARGS)

words: packages ## brings the catalogues of players' languages up to date with the texts, compiles them, and says what to translate
	@PYTHONPATH=tests $(PY) -m support.catalogues

lock: packages ## pins of requirements/*.in anew into *.txt; UPGRADE=1 takes the newest versions
	@for use in dev cloud edge build stickers; do \
		UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
			--generate-hashes $(if $(UPGRADE),--upgrade) --no-emit-package arcade-shared \
			--no-emit-package arcade-cloud --no-emit-package arcade-edge --no-emit-package arcade-sandbox \
			--output-file requirements/$$use.txt requirements/$$use.in || exit 1; \
		echo "requirements/$$use.txt: $$(grep -c '^[a-z]' requirements/$$use.txt) packages"; \
	done

soak: setup ## the tests that kill, cut and shuffle, in many more rounds (ROUNDS=100)
	ARCADE_ROUNDS=$(ROUNDS) $(PY) -m pytest --timeout 3600 $$(grep -rl --include='test_*.py' ARCADE_ROUNDS tests) $(PYTEST_ARGS)

chaos: setup ## everything as real processes, killed, frozen and cut while players buy; SECONDS=60, SEED=7
	@PYTHONPATH=tests $(PY) -m chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

pictures: packages tools browser ## the pictures in docs/images; FOLDER=/tmp/pages: every page of the console, at each size, into it
	@PYTHONPATH=tests $(PY) -m browser $(FOLDER)

clean: ## takes away all that was built or set up here, the virtual environment too
	rm -rf .venv .setup dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
