"""What happened is told afterwards: kinds in their order, incidents, filters, live."""

from __future__ import annotations

import http.client
import json
import os
import pty
import signal
import subprocess
import threading

import pytest
from fake_llm import answers, refuses_all, replies, resets
from gateway import BINARY, wait_until
