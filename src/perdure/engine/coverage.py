"""x"""
from pathlib import Path
TABLE_PATH = Path(__file__).with_name("coverage.json")
CALLS = ("tried","succeeded","changed","reads","identical","volatile","different","not_implemented")
def page(): return ""
def forget(): pass
