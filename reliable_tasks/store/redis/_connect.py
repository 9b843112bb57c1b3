"""temporary"""
import redis
class S:
    def __init__(self,url):
        self.client=redis.Redis.from_url(url); self.location=url
    def close(self): self.client.close()
def connect(url, o): return S(url)
