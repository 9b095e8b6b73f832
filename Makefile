# make report   sets up what is missing and builds the quick report in build/quick
# make test     sets up what is missing and runs the tests
PYTHON ?= python3
PROFILE ?= quick
OUT ?= build/$(PROFILE)
BIN := .venv/bin

report: .venv/ready
	$(BIN)/python -m lib.report --profile $(PROFILE) --out $(OUT)

test: .venv/ready
	$(BIN)/python -m pytest

# The stamp is written last: an installation that was interrupted is taken up again.
.venv/ready: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.PHONY: report test
