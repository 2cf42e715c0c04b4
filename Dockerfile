# docker build -t scalescope . && docker run -p 8501:8501 -v scalescope:/data scalescope
FROM python:3.11-slim
WORKDIR /app
# the compiler of the two small C++ kernels; without it they run in PyTorch, several times slower
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN useradd --create-home scalescope && mkdir /data && chown scalescope /data
USER scalescope
ENV SCALESCOPE_HOME=/data
VOLUME /data
EXPOSE 8501
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.headless=true"]
