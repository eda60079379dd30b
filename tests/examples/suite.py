"""suite.py [--part N/M] [NAME...] - runs the tests of this directory, or those with these unittest names.

With --part it runs every Mth test, from the Nth on.
"""
import os
import pathlib
import sys
import threading
import unittest
import warnings

HERE = pathlib.Path(__file__).resolve().parent
# The servers' own files are not meant to be imported.
MODULES = ["test_examples", "test_keep_alive", "test_pages", "test_stop_commands", "test_stop_workers"]


def flat(suite):
    for test in suite:
        yield from flat(test) if isinstance(test, unittest.TestSuite) else [test]


class Result(unittest.TextTestResult):
    """A test whose thread fails has failed."""

    def startTest(self, test):
        super().startTest(test)
        threading.excepthook = lambda failure: self.addError(test, failure[:3])


def main():
    if os.getpid() != 1:
        sys.exit("suite.py: not PID 1 of a namespace; use tests/examples/run")
    os.chdir(HERE)
    # A test that is cut off leaves sockets to the garbage collector.
    warnings.simplefilter("ignore", ResourceWarning)
    names, part, parts = sys.argv[1:], 1, 1
    if names and names[0] == "--part":
        part, parts = map(int, names[1].split("/"))
        names = names[2:]
    tests = list(flat(unittest.defaultTestLoader.loadTestsFromNames(names or MODULES)))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, warnings="ignore", resultclass=Result).run(
        unittest.TestSuite(tests[part - 1::parts]))
    for test, reason in result.skipped:
        print(f"SKIP {test.id()}: {reason}")
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    print(f"{result.testsRun - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(bool(failed) or result.testsRun == skipped)


main()
