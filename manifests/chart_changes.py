"""What the values of the Helm chart decide about the manifests: the places, and what is in them in the chart."""

from collections.abc import Mapping, Sequence
from typing import Final

Changes = Sequence[tuple[str, str]]
"""A regular expression that matches once, and what is written in its place."""

LABEL: Final = "    app.kubernetes.io/name: queue-recovery\n"

_SCHEDULING: Final = r"""\g<0>      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
"""
_USER: Final = r"""        {{- if not .Values.openshift.enabled }}
\g<0>        {{- end }}
"""
_IMAGE: Final = """        {{- with .Values.image }}
        image: "{{ .repository }}{{ with .digest }}@{{ . }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}"
        {{- with .pullPolicy }}
        imagePullPolicy: {{ . }}
        {{- end }}
        {{- end }}
"""
_ENVIRONMENT: Final = r"""\g<0>        {{- with .Values.namespaces }}
        - name: QUEUE_RECOVERY_NAMESPACES
          value: {{ join "," . | quote }}
        {{- end }}
        {{- range $name, $value := .Values.settings }}
        - name: QUEUE_RECOVERY_{{ $name | snakecase | upper }}
          value: {{ join "," $value | quote }}
        {{- end }}
"""
_RESOURCES: Final = """        resources:
          {{- toYaml .Values.resources | nindent 10 }}
"""
_LABELS_OF_ALERTS: Final = r"""\g<0>    {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
"""
_PORTS: Final = """    ports:
    {{- range .Values.networkPolicy.ports }}
    - port: {{ . }}
    {{- end }}
"""
_KEPT: Final = r"""  annotations:
    helm.sh/resource-policy: keep
\g<0>"""

CHANGES: Final[Mapping[str, Changes]] = {
    "CustomResourceDefinition": ((r"^  labels:\n", _KEPT),),
    "Deployment": (
        (r"^  replicas: \d+", "  replicas: {{ .Values.replicas }}"),
        (r"^      serviceAccountName: .*\n", _SCHEDULING),
        (r"(?:^        runAs(?:User|Group): .*\n){2}", _USER),
        (r"^        image: .*\n", _IMAGE),
        (r'^        - name: QUEUE_RECOVERY_HTTP_PORT\n          value: "\d+"\n', _ENVIRONMENT),
        (r"^        resources:\n(?:          .*\n)+", _RESOURCES),
    ),
    "PrometheusRule": ((f"^{LABEL}", _LABELS_OF_ALERTS),),
    "NetworkPolicy": ((r"^    ports:\n(?:    - port: \d+\n)+", _PORTS),),
}
"""By kind."""

CONDITIONS: Final[Mapping[str, str]] = {
    "ClusterRole": ".Values.clusterRoles.enabled",
    "ClusterRoleBinding": "not .Values.namespaces",
}
"""When a kind is rendered, besides the condition of its folder."""

LEFT_OUT: Final = ("Namespace",)
"""Kinds: Helm keeps its release in the namespace, so that has to exist before, and to outlive the release."""
