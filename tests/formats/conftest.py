from tests.io.conftest import scan_hu

__all__ = ["scan_hu"]
