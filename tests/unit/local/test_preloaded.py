"""The fork server has started and opened nothing: a fork would inherit files, but no threads."""

import subprocess
import sys

SAID = """
import os, threading
os.setsid = lambda: None
before = set(os.listdir("/proc/self/fd"))
import mercato.local.preloaded
from chassis.observe.log import log
from chassis.settings import settings
print(threading.active_count(), set(os.listdir("/proc/self/fd")) - before, settings.cache_info().currsize, log._process)
"""


def test_preloaded_imports_start_open_and_read_nothing():
    engines = {"MONGODB_URI": "mongodb://127.0.0.1/", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
    done = subprocess.run([sys.executable, "-c", SAID], capture_output=True, text=True, env=engines)
    assert done.stdout == "1 set() 0 {}\n", done.stderr
